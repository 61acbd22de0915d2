import { lstatSync, mkdirSync, type Stats } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { HyperplugError } from '../core/errors.js';
import { userAbove } from './privilege.js';

/** Where everything lives. Absolute paths. */
export interface Directories {
  /** Records and console logs; survives reboots. */
  readonly stateDirectory: string;
  /** Sockets, pid files and locks; gone with a reboot. Short, as a unix socket's path has at most 107 bytes. */
  readonly runtimeDirectory: string;
  /** What can be built again: guest images, unpacked tools. */
  readonly cacheDirectory: string;
}

/** Who asks; the process's own by default. */
export interface PathsContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  readonly home: string;
  /** What `uid` is called in this user namespace, and so the owner of its files; `uid` itself by default. */
  readonly owner?: number;
}

const processContext = (): PathsContext => ({
  env: process.env,
  uid: userAbove(),
  home: homedir(),
  owner: process.getuid?.() ?? 0,
});

/**
 * root: /var/lib, /run and /var/cache. Others: the XDG base directories (freedesktop.org, version 0.8), a relative one of
 * which is ignored as that specification asks. An XDG_RUNTIME_DIR that is not there or is another user's (left over from
 * `su`) gives way to /tmp/hyperplug-UID.
 */
export function defaultDirectories(context: PathsContext = processContext()): Directories {
  const { env, uid, home, owner = uid } = context;
  if (uid === 0) {
    return {
      stateDirectory: '/var/lib/hyperplug',
      runtimeDirectory: '/run/hyperplug',
      cacheDirectory: '/var/cache/hyperplug',
    };
  }
  const xdg = (name: string) => {
    const value = env[name];
    return value !== undefined && isAbsolute(value) ? value : undefined;
  };
  const runtime = xdg('XDG_RUNTIME_DIR');
  const usable = runtime !== undefined && isOwnDirectory(runtime, owner);
  return {
    stateDirectory: join(xdg('XDG_STATE_HOME') ?? join(home, '.local/state'), 'hyperplug'),
    runtimeDirectory: usable ? join(runtime, 'hyperplug') : `/tmp/hyperplug-${uid}`,
    cacheDirectory: join(xdg('XDG_CACHE_HOME') ?? join(home, '.cache'), 'hyperplug'),
  };
}

function isOwnDirectory(path: string, uid: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === uid;
}

/**
 * Makes the three directories: mode 0700, the cache of root 0755 (it holds nothing of anyone's).
 * Idempotent. @throws HOST_PERMISSION as ensureDirectory.
 */
export function ensureDirectories(directories: Directories, uid: number = process.getuid?.() ?? 0): void {
  ensureDirectory(directories.stateDirectory, 0o700, uid);
  ensureDirectory(directories.runtimeDirectory, 0o700, uid);
  ensureDirectory(directories.cacheDirectory, uid === 0 ? 0o755 : 0o700, uid);
}

/**
 * Makes a directory, and its parents with mode 0700 (0755 as root), or checks the one that is there: a directory and not
 * a link to one, our own, open to nobody that `mode` does not name. One that is not so is left as it is.
 * @throws HOST_PERMISSION with `path`, what was expected and what was found, or why it could not be made.
 */
export function ensureDirectory(path: string, mode: number, uid: number = process.getuid?.() ?? 0): void {
  if (!isAbsolute(path)) throw new TypeError(`directory: expected an absolute path, got ${JSON.stringify(path)}`);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: uid === 0 ? 0o755 : 0o700 });
    mkdirSync(path, { mode });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw refused(path, 'a directory that can be made', cause);
  }
  let stats: Stats;
  try {
    stats = lstatSync(path);
  } catch (cause) {
    throw refused(path, 'a directory that can be read', cause);
  }
  const found = stats.isSymbolicLink() ? 'a symbolic link' : stats.isDirectory() ? undefined : 'no directory';
  if (found) throw refused(path, 'a directory', found);
  if (stats.uid !== uid) throw refused(path, `a directory of user ${uid}`, `one of user ${stats.uid}`);
  const actual = stats.mode & 0o777;
  if ((actual & ~mode) !== 0) {
    throw refused(
      path,
      `mode ${octal(mode)} or stricter`,
      `${octal(actual)}; chmod ${octal(mode)} ${path} makes it so`,
    );
  }
}

const octal = (mode: number) => `0${mode.toString(8)}`;

function refused(path: string, expected: string, found: unknown): HyperplugError {
  const cause = found instanceof Error ? found : undefined;
  const received = cause?.message ?? String(found);
  return new HyperplugError('HOST_PERMISSION', `directory ${path}: expected ${expected}, got ${received}`, {
    ...(cause ? { cause } : {}),
    details: { path, expected, received },
  });
}
