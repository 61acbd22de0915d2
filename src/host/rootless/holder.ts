import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import { runCommand } from '../command.js';
import { spawnConfined } from '../confined-spawn.js';
import { hasRoot } from '../privilege.js';
import { killProcess } from '../process.js';
import { netnsOf } from './namespaces.js';
import type { SessionFiles } from './record.js';
import { DOCTOR_TELLS } from './slirp.js';

/** Programs by absolute path. */
export interface RootlessTools {
  readonly unshare: string;
  readonly nsenter: string;
  readonly cat: string;
  readonly mkfifo: string;
}

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 5;

/** The argv that goes before a program's to run it in the namespaces of a process. */
export function enterArgv({ nsenter }: Pick<RootlessTools, 'nsenter'>, pid: number): string[] {
  // Root keeps its users: a network namespace is all it needs.
  const user = hasRoot() ? [] : ['--user', '--preserve-credentials'];
  return [nsenter, `--target=${pid}`, ...user, '--net', '--'];
}

/**
 * Starts a process that is in new namespaces (user and network; as root network alone), or in those of `within`, and does
 * nothing until it is killed: it opens a FIFO that nobody writes to.
 * @throws HOST_PERMISSION the system does not let this user make namespaces, in its words.
 */
export async function startHolder(
  files: SessionFiles,
  tools: RootlessTools,
  within: ProcessIdentity | undefined,
  call: CallOptions,
): Promise<{ holder: ProcessIdentity; netns: string }> {
  if (!existsSync(files.fifo)) await runCommand([tools.mkfifo, '-m', '0600', files.fifo], call);
  const wait = [tools.cat, files.fifo];
  const fresh = [tools.unshare, ...(hasRoot() ? [] : ['--user', '--map-root-user']), '--net', '--'];
  const argv = within ? [...enterArgv(tools, within.pid), ...wait] : [...fresh, ...wait];
  const own = netnsOf('self');
  const child = await spawnConfined(argv, { stderrFd: undefined, fds: [] });
  let over = false;
  void child.exited.then(() => {
    over = true;
  });
  try {
    const netns = await withDeadline('start of the rootless namespace', START_TIMEOUT_MS, call.signal, async (step) => {
      for (;;) {
        const now = netnsOf(child.identity.pid);
        if (now !== undefined && now !== own) return now;
        if (over) throw refused(child.stderrTail());
        await delay(POLL_MS);
        throwIfAborted(step.signal, 'start of the rootless namespace');
      }
    });
    child.unref();
    return { holder: child.identity, netns };
  } catch (error) {
    await killProcess(child.identity, { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
    throw error;
  }
}

const refused = (words: string) =>
  new HyperplugError(
    'HOST_PERMISSION',
    `rootless network: this user may not make namespaces: ${words.trim() || 'unshare ended'}`,
    { details: { stderrTail: words, fix: DOCTOR_TELLS } },
  );
