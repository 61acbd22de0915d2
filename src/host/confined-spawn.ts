import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { HyperplugError } from '../core/errors.js';
import { type ConfinedChild, ownChild, reap } from './own-child.js';
import { closeDescriptor, pipe, posixSpawn } from './posix-spawn.js';

/** Programs of util-linux and coreutils, by absolute path. Each changes one thing and then becomes the next (exec). */
export interface ConfinementTools {
  readonly setpriv: string;
  readonly prlimit: string;
  readonly env: string;
  /** One program that does what all of them do (launcher/): then they are not started. */
  readonly launcher?: string | undefined;
}

/** As far as it is there and may be run where it lies. */
export function usableLauncher(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    accessSync(path, constants.X_OK);
    return path;
  } catch {
    return undefined;
  }
}

export interface RunAsUser {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

export interface Confinement {
  /** The kernel kills it when this process dies, however that comes about. */
  readonly dieWithParent: boolean;
  /** We are root: capabilities are dropped. */
  readonly root: boolean;
  /** Only with `root`. */
  readonly user: RunAsUser | undefined;
  /** Capabilities to keep, as setpriv names them: `net_bind_service`. Only with `root`. */
  readonly keepCapabilities: readonly string[];
  /** No file that it writes grows beyond this; the write fails, and the process lives on. */
  readonly maxFileBytes: number;
  /**
   * User, PID, network and IPC namespaces of its own: programs with their arguments that each become or start the next
   * (`unshare --pid --`), and run before `env` is set. The launcher has no need of them.
   */
  readonly within?: readonly string[];
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** The argv that runs `argv` confined. */
export function confinedArgv(tools: ConfinementTools, argv: readonly string[], confinement: Confinement): string[] {
  if (tools.launcher !== undefined) return [tools.launcher, ...launcherArgs(argv, confinement)];
  const { user, root, keepCapabilities } = confinement;
  const kept = ['-all', ...keepCapabilities.map((name) => `+${name}`)].join(',');
  return [
    ...[tools.setpriv, '--no-new-privs'],
    ...(user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`] : []),
    ...((user && (user.groups.length > 0 ? [`--groups=${user.groups.join(',')}`] : ['--clear-groups'])) || []),
    // Also takes root's own power from a process that has to stay root.
    ...(root ? [`--inh-caps=${kept}`, `--ambient-caps=${kept}`, `--bounding-set=${kept}`] : []),
    // The kernel forgets the death signal at a change of user; setpriv sets it after.
    ...(confinement.dieWithParent ? ['--pdeathsig=KILL'] : []),
    ...['--', tools.prlimit, '--core=0', `--fsize=${confinement.maxFileBytes}`, '--'],
    ...(confinement.within ?? []),
    ...[tools.env, '-i', '--ignore-signal=XFSZ'],
    ...(confinement.dieWithParent ? whileWeLive() : []),
    ...Object.entries(confinement.env).map(([name, value]) => `${name}=${value}`),
    ...argv,
  ];
}

/** linux/capability.h, by setpriv's names: those that somebody keeps. */
const CAPABILITIES: Readonly<Record<string, number>> = { net_bind_service: 10, setfcap: 31 };

/** The launcher's, as launcher/confine.c takes them. */
function launcherArgs(argv: readonly string[], confinement: Confinement): string[] {
  const { user, root, keepCapabilities, within, maxFileBytes, dieWithParent, env } = confinement;
  const mask = keepCapabilities.reduce((caps, name) => {
    const number = CAPABILITIES[name];
    if (number === undefined) throw new TypeError(`capability ${name}: not known`);
    return caps | (1n << BigInt(number));
  }, 0n);
  return [
    within ? 'outer' : 'confined',
    ...(user ? [`--uid=${user.uid}`, `--gid=${user.gid}`] : []),
    ...(user && user.groups.length > 0 ? [`--groups=${user.groups.join(',')}`] : []),
    ...(root ? [`--caps=${mask.toString(16)}`] : []),
    ...(dieWithParent ? [`--parent=${process.pid}`] : []),
    `--fsize=${maxFileBytes}`,
    '--',
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...argv,
  ];
}

/**
 * env(1) fails when this process has ended: a directory that /proc has of those alone that have not, of zombies neither. It
 * comes after the death signal was set, so that whoever died before that is not outlived. Nothing where /proc hides us from
 * the user that it runs as.
 */
function whileWeLive(): string[] {
  const directory = `/proc/${process.pid}/net/stat`;
  const hidden = /^\S+ \S+ \S+ \S+ \/proc \S.* - proc .*\bhidepid=(?!0\b|off\b)/m;
  if (!existsSync(directory) || hidden.test(readFileSync('/proc/self/mountinfo', 'utf8'))) return [];
  return [`--chdir=${directory}`];
}

/**
 * Starts `argv`, whose first is an absolute path, with descriptors 3, 4, … from `fds`. stdin and stdout are /dev/null.
 * @throws HOST_TOOL_MISSING, HOST_COMMAND_FAILED.
 */
export async function spawnConfined(
  argv: readonly string[],
  stdio: { readonly stderrFd: number | undefined; readonly fds: readonly number[] },
): Promise<ConfinedChild> {
  const [read, write] = stdio.stderrFd === undefined ? pipe() : [undefined, undefined];
  let pid: number | undefined;
  try {
    const fds = [stdio.stderrFd ?? (write as number), ...stdio.fds];
    pid = posixSpawn({ argv, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' }, cwd: '/', fds });
    return ownChild(pid, read);
  } catch (error) {
    if (pid !== undefined) {
      process.kill(pid, 'SIGKILL');
      reap(pid);
    }
    if (read !== undefined) closeDescriptor(read);
    const cause = error as NodeJS.ErrnoException;
    if (cause.code === undefined) throw error;
    const code = cause.code === 'ENOENT' ? 'HOST_TOOL_MISSING' : 'HOST_COMMAND_FAILED';
    throw new HyperplugError(code, `${argv[0]}: could not be started: ${cause.message}`, { cause, details: { argv } });
  } finally {
    if (write !== undefined) closeDescriptor(write);
  }
}
