import { createRequire } from 'node:module';
import { HyperplugError } from '../../core/errors.js';
import { enterArgv } from './holder.js';
import { netnsOf, processesIn } from './namespaces.js';
import { SessionFiles, type SessionRecord } from './record.js';
import type { SessionUse } from './session.js';
import { SESSION_VARIABLE } from './variable.js';

/** linux/fcntl.h */
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** The session that this process is in. */
export interface OwnSession {
  readonly files: SessionFiles;
  readonly record: SessionRecord;
  readonly useFd: number;
  readonly mended: readonly string[];
}

interface Native {
  fcntl(fd: number, command: number, flags: number): number;
  execve(path: string, argv: readonly (string | null)[], env: readonly (string | null)[]): number;
  errno(): number;
}

function native(): Native {
  const koffi = createRequire(import.meta.url)('koffi');
  const libc = koffi.load('libc.so.6');
  return {
    fcntl: libc.func('int fcntl(int fd, int command, int flags)'),
    execve: libc.func('int execve(const char *path, const char **argv, const char **env)'),
    errno: () => koffi.errno(),
  };
}

/**
 * Becomes this very program within the session's namespaces (execve(2)): same pid, arguments and standard streams. Nobody
 * remains outside who would have to pass on signals and streams. Does not return.
 * @throws HOST_PERMISSION
 */
export function reenter({ files, record, useFd, mended, tools }: SessionUse): never {
  const { fcntl, execve, errno } = native();
  // A holder that has died left its namespaces to those who use them.
  const target = netnsOf(record.holder.pid) === record.netns ? record.holder.pid : processesIn(record.netns)[0]?.pid;
  if (target === undefined) throw new HyperplugError('HOST_PERMISSION', 'rootless network: its namespace is gone');
  const program = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const argv = [...enterArgv(tools, target), ...program];
  const env = {
    ...process.env,
    XTABLES_LOCKFILE: files.xtablesLock,
    [SESSION_VARIABLE]: JSON.stringify({ directory: files.directory, useFd, mended }),
  };
  const variables = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`));
  // Node marks its standard streams, too.
  const kept = [0, 1, 2, useFd];
  for (const fd of kept) fcntl(fd, F_SETFD, 0);
  execve(tools.nsenter, [...argv, null], [...variables, null]);
  const failure = errno();
  for (const fd of kept) fcntl(fd, F_SETFD, FD_CLOEXEC);
  throw new HyperplugError('HOST_PERMISSION', `${tools.nsenter}: could not be run: errno ${failure}`);
}

let own: OwnSession | undefined;

/** What was mended before this process began, to be told as done: once. */
export function takeMended(): readonly string[] {
  const { mended = [] } = ownSession() ?? {};
  if (own) own = { ...own, mended: [] };
  return mended;
}

/** The session that this process was started into; undefined: none. */
export function ownSession(): OwnSession | undefined {
  const text = process.env[SESSION_VARIABLE];
  if (own || text === undefined) return own;
  // Not for programs that this one starts.
  delete process.env[SESSION_VARIABLE];
  const { directory, useFd, mended } = JSON.parse(text) as { directory: string; useFd: number; mended: string[] };
  const files = new SessionFiles(directory);
  const record = files.read();
  if (!record || netnsOf('self') !== record.netns) {
    throw new HyperplugError(
      'HOST_PERMISSION',
      `${SESSION_VARIABLE}: expected this process to be in the session of ${directory}`,
    );
  }
  native().fcntl(useFd, F_SETFD, FD_CLOEXEC);
  own = { files, record, useFd, mended };
  return own;
}
