import { closeSync, openSync, readlinkSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { ProcessIdentity, VmShare } from '../../core/hypervisor.js';
import { runCommand } from '../../host/command.js';
import { type RunAsUser, spawnConfined } from '../../host/confined-spawn.js';
import type { ConfinedChild } from '../../host/own-child.js';
import { identifyProcess, killProcess, processArgv } from '../../host/process.js';
import type { Tool } from '../../host/tools.js';
import { listenUnix } from '../../host/unix-listener.js';
import { processIds } from '../../host/vmm/run-dir.js';

/** virtiofsd (Debian: qemu-system-common up to 12, virtiofsd after), and util-linux's programs. */
export interface ShareTools {
  readonly virtiofsd: Tool;
  readonly unshare: string;
  readonly nsenter: string;
  readonly mount: string;
  readonly setpriv: string;
  readonly env: string;
}

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
const END_TIMEOUT_MS = 10_000;
const MOUNT_POINT = /^m\d+$/;

/**
 * One virtiofsd for each share. It runs in a mount namespace of its own, in which the directory is bound to RUNDIR/mN, read-only
 * where it shall be: so it is the kernel that refuses to write, whatever the guest or virtiofsd do. It ends by itself when QEMU
 * closes the connection, which is when QEMU ends. Started by root it serves files as whoever the guest says; else within a user
 * namespace, where this user is root and nobody else exists.
 */
export async function startShare(
  share: VmShare,
  index: number,
  where: { readonly runDir: string; readonly socketPath: string; readonly user: RunAsUser | undefined },
  tools: ShareTools,
  detached: boolean,
  { signal }: CallOptions,
): Promise<ConfinedChild> {
  const { socketPath, user } = where;
  const mountPoint = join(where.runDir, `m${index}`);
  await mkdir(mountPoint, { mode: 0o700 });
  const root = process.getuid?.() === 0;
  const listener = listenUnix(socketPath);
  const nothing = openSync('/dev/null', 'w');
  try {
    await chmod(socketPath, 0o600);
    if (user) await chown(socketPath, user.uid, user.gid);
    const argv = [
      // Set before the namespaces: it outlives what follows, none of which changes the user.
      ...[tools.setpriv, ...(detached ? [] : ['--pdeathsig=KILL']), '--'],
      ...[tools.unshare, '--mount', '--propagation', 'private', ...(root ? [] : ['--user', '--map-root-user']), '--'],
      ...[tools.env, ...Object.entries(tools.virtiofsd.env).map(([name, value]) => `${name}=${value}`)],
      ...[tools.virtiofsd.path, '--fd=3', '-o', `source=${mountPoint}`, '-o', 'sandbox=namespace'],
      ...['-o', 'cache=auto', '-o', 'xattr'],
    ];
    const child = await spawnConfined(argv, { stderrFd: detached ? nothing : undefined, fds: [listener] });
    if (detached) child.unref();
    try {
      await withDeadline(`share ${share.tag}`, START_TIMEOUT_MS, signal, (call) =>
        bindInside(share, mountPoint, child, tools, root, call),
      );
      return child;
    } catch (error) {
      await killProcess(child.identity, { signal: AbortSignal.timeout(END_TIMEOUT_MS) });
      throw error;
    }
  } finally {
    closeSync(listener);
    closeSync(nothing);
  }
}

/** virtiofsd looks at its source when QEMU has connected, which is after this. */
async function bindInside(
  { tag, path, readOnly }: VmShare,
  mountPoint: string,
  child: ConfinedChild,
  tools: ShareTools,
  root: boolean,
  { signal }: CallOptions,
): Promise<void> {
  const { pid } = child.identity;
  const failed = async (why: string, cause?: unknown) =>
    new HyperplugError('VM_HYPERVISOR_FAILED', `share ${tag}: ${why} ${child.stderrTail()}`.trim(), { cause });
  let over = false;
  void child.exited.then(() => {
    over = true;
  });
  while (!isReady(pid, tools.virtiofsd.path)) {
    if (over) throw await failed('virtiofsd could not be started in namespaces of its own:');
    await raceSignal(delay(POLL_MS), signal, `share ${tag}`);
  }
  const user = root ? [] : ['--user', '--preserve-credentials'];
  const bind = [tools.mount, '--bind', ...(readOnly ? ['-o', 'ro'] : []), path, mountPoint];
  try {
    await runCommand([tools.nsenter, '--target', String(pid), '--mount', ...user, '--', ...bind], { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw await failed(`${path} cannot be bound:`, error);
  }
}

/** unshare(1) has done its work: nothing that is mounted there now is seen elsewhere. */
function isReady(pid: number, program: string): boolean {
  try {
    const own = readlinkSync(`/proc/${pid}/ns/mnt`) !== readlinkSync('/proc/self/ns/mnt');
    return own && processArgv(pid)?.[0] === program;
  } catch {
    return false;
  }
}

/** Ends what serves the shares of this run directory, and removes the places they were bound to. Idempotent. */
export async function endShares(runDir: string): Promise<void> {
  const mountPoints = (await readdir(runDir).catch(() => [])).filter((name) => MOUNT_POINT.test(name));
  if (mountPoints.length === 0) return;
  const signal = AbortSignal.timeout(END_TIMEOUT_MS);
  await Promise.all(serving(runDir).map((identity) => killProcess(identity, { signal })));
  for (const name of mountPoints) await rmdir(join(runDir, name)).catch(ignoreMissing);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function serving(runDir: string): ProcessIdentity[] {
  return processIds().flatMap((pid) => {
    const source = processArgv(pid)?.find((argument) => argument.startsWith(`source=${runDir}/m`));
    const ours = source !== undefined && MOUNT_POINT.test(source.slice(`source=${runDir}/`.length));
    const identity = ours ? identifyProcess(pid) : undefined;
    return identity ? [identity] : [];
  });
}
