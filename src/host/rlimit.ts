import { constants } from 'node:os';
import koffi from 'koffi';
import { HyperplugError } from '../core/errors.js';

/** asm-generic/resource.h */
const RLIMIT_FSIZE = 1;

/** Of a thread, where libc's own functions are for all of a process. asm/unistd_64.h, asm-generic/unistd.h. */
const CALLS = { x64: { setresuid: 117, setresgid: 119 }, arm64: { setresuid: 147, setresgid: 149 } } as const;

const libc = koffi.load('libc.so.6');
const prlimit = libc.func('int prlimit(int pid, int resource, void *limit, void *old)');
const syscall = libc.func('long syscall(long number, int real, int effective, int saved)');

/**
 * Lets no file that the process writes grow beyond this: prlimit(2), soft and hard. `owner`: who it runs as; a root without
 * CAP_SYS_RESOURCE, as containers have it, may do it for nobody but the own real user. @throws HOST_COMMAND_FAILED.
 */
export function limitFileSize(
  pid: number,
  bytes: number,
  owner: { readonly uid: number; readonly gid: number } | undefined,
): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(BigInt(bytes), 0);
  limit.writeBigUInt64LE(BigInt(bytes), 8);
  const set = () => (prlimit(pid, RLIMIT_FSIZE, limit, null) === 0 ? 0 : koffi.errno());
  let errno = set();
  if (errno === constants.errno.EPERM && owner) errno = asRealUser(owner, set);
  if (errno === 0) return;
  throw new HyperplugError('HOST_COMMAND_FAILED', `prlimit of process ${pid}: errno ${errno}`, {
    details: { pid, errno },
  });
}

/** Of this thread alone, and with root's power all the while: the effective user stays. Nothing else runs on it meanwhile. */
function asRealUser({ uid, gid }: { readonly uid: number; readonly gid: number }, body: () => number): number {
  const calls = CALLS[process.arch as keyof typeof CALLS];
  const [ownUid, ownGid] = [process.getuid?.(), process.getgid?.()];
  if (!calls || ownUid === undefined || ownGid === undefined) return constants.errno.EPERM;
  const become = (user: number, group: number) =>
    syscall(calls.setresgid, group, -1, -1) === 0 && syscall(calls.setresuid, user, -1, -1) === 0;
  try {
    return become(uid, gid) ? body() : constants.errno.EPERM;
  } finally {
    become(ownUid, ownGid);
  }
}
