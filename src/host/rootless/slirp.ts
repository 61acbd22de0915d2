import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { type CallOptions, raceSignal, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import { hasRoot } from '../privilege.js';
import { identifyProcess, killProcess } from '../process.js';
import type { Tool } from '../tools.js';
import type { RootlessTools } from './holder.js';
import type { SessionFiles, SessionRecord } from './record.js';

/** The device in the namespace that leads out. */
export const UPLINK = 'uplink0';
/** `fix` of errors. */
export const DOCTOR_TELLS = 'hyperplug doctor --rootless says what to mend';
const START_TIMEOUT_MS = 10_000;
const READY_FD = 3;

/**
 * slirp4netns(1), which stays outside, on a tap that it makes in the holder's namespace.
 * @throws HOST_COMMAND_FAILED it ended early, with its words; HOST_PERMISSION where /dev/net/tun is what it lacked.
 */
export async function startSlirp(
  files: SessionFiles,
  slirp: Tool,
  { unshare }: Pick<RootlessTools, 'unshare'>,
  { holder, cidr, mtu, hostLoopback }: Pick<SessionRecord, 'holder' | 'cidr' | 'mtu' | 'hostLoopback'>,
  call: CallOptions,
): Promise<ProcessIdentity> {
  rmSync(files.apiSocket, { force: true });
  const log = openSync(files.slirpLog, 'w', 0o600);
  let child: ChildProcess;
  try {
    const args = [
      ...['--configure', `--mtu=${mtu}`, `--cidr=${cidr}`, ...(hostLoopback ? [] : ['--disable-host-loopback'])],
      ...['--enable-sandbox', '--enable-seccomp', `--api-socket=${files.apiSocket}`, `--ready-fd=${READY_FD}`],
      ...[String(holder.pid), UPLINK],
    ];
    // Its sandbox takes all mounts away from its own mount namespace, and shared ones from every other with them (those below
    // /run/netns at least): root's has to be private throughout. In a user namespace it is.
    const apart = hasRoot() ? [unshare, '--mount', '--propagation', 'private', '--'] : [];
    const [program, ...rest] = [...apart, slirp.path, ...args] as [string, ...string[]];
    child = spawn(program, rest, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', ...slirp.env },
      detached: true,
      stdio: ['ignore', log, log, 'pipe'],
    });
  } finally {
    closeSync(log);
  }
  const exited = new Promise<'ended'>((resolve) => {
    child.once('exit', () => resolve('ended'));
    child.once('error', () => resolve('ended'));
  });
  const ready = child.stdio[READY_FD];
  const told = new Promise<'ready'>((resolve) => ready?.once('data', () => resolve('ready')));
  const process = child.pid === undefined ? undefined : identifyProcess(child.pid);
  try {
    const outcome = await withDeadline('start of slirp4netns', START_TIMEOUT_MS, call.signal, ({ signal }) =>
      raceSignal(Promise.race([told, exited]), signal, 'start of slirp4netns'),
    );
    if (outcome === 'ended' || !process) throw failed(files);
    child.unref();
    return process;
  } catch (error) {
    if (process) await killProcess(process, { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
    throw error;
  } finally {
    ready?.destroy();
  }
}

function failed({ slirpLog }: SessionFiles): HyperplugError {
  const words = readFileSync(slirpLog, 'utf8').trim().split('\n').slice(-5).join(' / ');
  const code = words.includes('/dev/net/tun') ? 'HOST_PERMISSION' : 'HOST_COMMAND_FAILED';
  return new HyperplugError(code, `slirp4netns ended early: ${words || 'it said nothing'}`, {
    details: { stderrTail: words, ...(code === 'HOST_PERMISSION' && { fix: DOCTOR_TELLS }) },
  });
}
