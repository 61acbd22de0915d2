import { constants } from 'node:os';
import koffi from 'koffi';
import { HyperplugError } from '../core/errors.js';

/** asm-generic/resource.h */
const RLIMIT_FSIZE = 1;

const libc = koffi.load('libc.so.6');
const prlimit = libc.func('int prlimit(int pid, int resource, void *limit, void *old)');

/** Lets no file that the process writes grow beyond this: prlimit(2), soft and hard. False: we may not. @throws HOST_COMMAND_FAILED. */
export function limitFileSize(pid: number, bytes: number): boolean {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(BigInt(bytes), 0);
  limit.writeBigUInt64LE(BigInt(bytes), 8);
  if (prlimit(pid, RLIMIT_FSIZE, limit, null) === 0) return true;
  const errno = koffi.errno();
  if (errno === constants.errno.EPERM) return false;
  throw new HyperplugError('HOST_COMMAND_FAILED', `prlimit of process ${pid}: errno ${errno}`, {
    details: { pid, errno },
  });
}
