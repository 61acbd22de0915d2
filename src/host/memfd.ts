import { closeSync, ftruncateSync, read, write } from 'node:fs';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { type CallOptions, throwIfAborted } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';

/** linux/memfd.h, linux/fcntl.h */
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
/** F_SEAL_SEAL, _SHRINK, _GROW and _WRITE: from then on its content is as it is, whoever has it open. */
const EVERY_SEAL = 1 | 2 | 4 | 8;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const COPY_BYTES = 4 * 1024 * 1024;

interface Native {
  readonly memfdCreate: (name: string, flags: number) => number;
  readonly fcntl: (fd: number, command: number, type: 'int', argument: number) => number;
  readonly lseek: (fd: number, offset: number, whence: number) => number;
  readonly errno: () => number;
}
let native: Native | undefined;

/** koffi, on first use: most commands of the program need none of it. */
function libc(): Native {
  if (native) return native;
  const koffi = createRequire(import.meta.url)('koffi');
  const lib = koffi.load('libc.so.6');
  native = {
    memfdCreate: lib.func('int memfd_create(const char *name, uint32_t flags)'),
    fcntl: lib.func('int fcntl(int fd, int command, ...)'),
    lseek: lib.func('int64_t lseek(int fd, int64_t offset, int whence)'),
    errno: () => koffi.errno(),
  };
  return native;
}

/** A file in memory, all holes; /proc shows it as `/memfd:NAME (deleted)`. The caller closes it. @throws HOST_IO. */
export function createMemfd(name: string, sizeBytes: number): number {
  const fd = libc().memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw failed(`memfd_create of ${name}`);
  try {
    ftruncateSync(fd, sizeBytes);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Nothing and nobody changes it any more; it still opens for writing, and can be mapped privately. @throws HOST_IO. */
export function sealMemfd(fd: number): void {
  if (libc().fcntl(fd, F_ADD_SEALS, 'int', EVERY_SEAL) !== 0) throw failed('F_ADD_SEALS');
}

export function isSealed(fd: number): boolean {
  return libc().fcntl(fd, F_GET_SEALS, 'int', 0) === EVERY_SEAL;
}

/** Copies what is not a hole to the same place of another file. @throws HOST_IO, ABORTED, TIMEOUT. */
export async function copyData(from: number, to: number, { signal }: CallOptions): Promise<void> {
  const buffer = Buffer.allocUnsafe(COPY_BYTES);
  for (let [start, end] = nextData(from, 0); start < end; [start, end] = nextData(from, end)) {
    for (let at = start; at < end; ) {
      throwIfAborted(signal, 'copy of memory');
      const { bytesRead } = await readFd(from, buffer, 0, Math.min(COPY_BYTES, end - at), at);
      if (bytesRead === 0) return;
      for (let done = 0; done < bytesRead; ) {
        const { bytesWritten } = await writeFd(to, buffer, done, bytesRead - done, at + done);
        done += bytesWritten;
      }
      at += bytesRead;
    }
  }
}

const readFd = promisify(read);
const writeFd = promisify(write);

/** Start and end; equal at the end of the file. */
function nextData(fd: number, offset: number): [start: number, end: number] {
  const { lseek, errno } = libc();
  const start = lseek(fd, offset, SEEK_DATA);
  if (start < 0) {
    if (errno() === ENXIO) return [0, 0];
    throw failed('SEEK_DATA');
  }
  const end = lseek(fd, start, SEEK_HOLE);
  if (end < 0) throw failed('SEEK_HOLE');
  return [start, end];
}

function failed(what: string): HyperplugError {
  const errno = libc().errno();
  return new HyperplugError('HOST_IO', `${what}: errno ${errno}`, { details: { errno } });
}
