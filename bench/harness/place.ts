import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from './machine.js';
import { type ScenarioResult, scenarioResult } from './result.js';
import type { Scenario } from './scenario.js';

const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

/**
 * Namespaces of its own, which end with it: no process, mount, link or rule of it stays, however it ends. The shell is
 * their first process, which takes the dead of others.
 */
const OWN = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
const OWN_SCRIPT = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && "$@"; exit $?';

/** Why it cannot be measured here; undefined: it can. */
export function obstacle({ place, programs = [] }: Scenario): string | undefined {
  if (place === 'own' && process.getuid?.() !== 0) return 'it needs root, for namespaces of its own';
  const wanted = place === 'own' ? ['unshare', 'ip', ...programs] : programs;
  const missing = wanted.filter((program) => findProgram(program) === undefined);
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`;
}

/** In a process of its own, killed at its deadline with all that it started; its files are removed. */
export async function runScenario(name: string, scenario: Scenario, args: readonly string[]): Promise<ScenarioResult> {
  const now = { name, takenAt: new Date().toISOString(), seconds: 0, load: [0, 0, 0], comparisons: [] };
  const skipped = obstacle(scenario);
  if (skipped !== undefined) return { ...now, skipped };
  const directory = mkdtempSync(join(tmpdir(), 'hpb-'));
  const path = join(directory, 'result.json');
  const command = [process.execPath, CHILD, name, path, ...args];
  const argv = scenario.place === 'own' ? ['unshare', ...OWN, 'sh', '-c', OWN_SCRIPT, 'sh', ...command] : command;
  try {
    const child = spawn(argv[0] as string, argv.slice(1), {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, TMPDIR: directory },
      detached: true,
    });
    const ended = await endOf(child, scenario.timeoutMs);
    const result = read(path);
    if (ended === undefined && result) return result;
    return { ...(result ?? now), failed: result?.failed ?? ended ?? 'it ended without a result' };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** undefined: well. */
function endOf(child: ChildProcess, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let late = false;
    // Of its group, which is of its own: on the host nothing else ends what it started.
    const kill = () => {
      try {
        process.kill(-(child.pid as number), 'SIGKILL');
      } catch {}
    };
    const timer = setTimeout(() => {
      late = true;
      kill();
    }, timeoutMs);
    const stop = () => {
      kill();
      process.exitCode = 130;
    };
    process.once('SIGINT', stop).once('SIGTERM', stop);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      process.off('SIGINT', stop).off('SIGTERM', stop);
      if (late) resolve(`it did not end within ${timeoutMs / 1000} s and was killed`);
      else resolve(code === 0 ? undefined : `it ended with ${signal ?? `exit code ${code}`}`);
    });
  });
}

function read(path: string): ScenarioResult | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  return scenarioResult.parse(JSON.parse(text));
}
