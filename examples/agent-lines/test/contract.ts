import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { agentContract, type ContractRunner } from 'hyperplug/testing';
import { LinesAgent } from '../src/agent.js';
import { capabilities } from '../src/capabilities.js';
import { FEATURES } from '../src/session.js';

const SOURCES = fileURLToPath(new URL('../../guest/', import.meta.url));
const NICS = [
  { mac: '02:00:00:00:00:0a', expectedName: 'veth0' },
  { mac: '02:00:00:00:00:0b', expectedName: 'veth1' },
];
const run = promisify(execFile);

/** The guest's program on this machine, in namespaces of its own: its network and its name are not the machine's. */
async function startGuest(directory: string, at: number): Promise<{ child: ChildProcess; channel: Duplex }> {
  const program = [join(directory, 'lines-agent'), '-r', join(directory, `resolv-${at}.conf`)];
  const child = spawn('unshare', ['--map-root-user', '--net', '--uts', '--', ...program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { stdin, stdout } = child;
  if (!stdin || !stdout) throw new Error('unshare has no pipes');
  const inside = (...argv: string[]) =>
    run('nsenter', ['--user', '--preserve-credentials', '--net', `--target=${child.pid}`, '--', 'ip', ...argv]);
  // It has entered its namespaces when its network is not ours.
  for (let tries = 0; ; tries++) {
    const links = await inside('-o', 'link').catch(() => undefined);
    if (links && links.stdout.trim().split('\n').length === 1) break;
    if (tries > 200) throw new Error('the guest is not in its namespaces');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const { mac, expectedName } of NICS) {
    const peer = `${expectedName}peer`;
    await inside('link', 'add', expectedName, 'address', mac, 'type', 'veth', 'peer', 'name', peer);
    await inside('link', 'set', 'dev', peer, 'up');
  }
  return { child, channel: Duplex.from({ readable: stdout, writable: stdin }) };
}

export function contractTests(runner: ContractRunner): void {
  const directory = mkdtempSync(join(tmpdir(), 'lines-'));
  let guests = 0;
  runner.before(() => run('make', ['-s', '-C', SOURCES, `OUT=${directory}`]).then(() => {}));
  runner.after(() => rmSync(directory, { recursive: true, force: true }));
  agentContract({
    runner,
    label: 'lines',
    capabilities,
    features: FEATURES,
    create: () => new LinesAgent({ nicTimeoutMs: 500 }),
    directory,
    nicCount: NICS.length,
    async peer() {
      const { child, channel } = await startGuest(directory, ++guests);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      return {
        channels: [channel],
        nics: NICS,
        async release() {
          child.kill('SIGKILL');
          await ended;
          channel.destroy();
        },
      };
    },
  });
}
