import { closeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

/** A process held by descriptor: the kernel never takes it for another one. pidfd_open(2), pidfd_send_signal(2). */
export interface Pidfd {
  /** Resolves when the process has ended, be it reaped or not. */
  waitExit(): Promise<void>;
  /** waitExit() keeps this process no longer. */
  unref(): void;
  /** False: it has ended. @throws an error with `code` EPERM. */
  sendSignal(signal: NodeJS.Signals): boolean;
  /** Idempotent. */
  close(): void;
}

/** asm-generic/unistd.h: the same on every architecture. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

type PollHandle = { close(): void; unref(): void };

interface Native {
  syscall(...args: unknown[]): number;
  errno(): number;
  poll(fd: number, events: { readable: boolean }, listener: (status: number) => void): PollHandle;
}

let native: Native | undefined | null;

/** koffi, on first use: most commands of the program need none of it. */
function loadNative(): Native | undefined {
  if (native !== undefined) return native ?? undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi');
    native = {
      syscall: koffi.load(null).func('long syscall(long, ...)'),
      errno: () => koffi.errno(),
      poll: koffi.node.poll,
    };
  } catch {
    native = null;
  }
  return native ?? undefined;
}

/** As Node's own of a call that has failed. @param errno positive. */
export function systemError(call: string, errno: number): NodeJS.ErrnoException {
  const code = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
  return Object.assign(new Error(`${call}: ${code}`), { code, errno, syscall: call });
}

/** `gone`: no such process. `unavailable`: a kernel before 5.3, a sandbox that refuses the call, or no koffi. */
export function openPidfd(pid: number): Pidfd | 'gone' | 'unavailable' {
  const lib = loadNative();
  if (!lib) return 'unavailable';
  // The kernel sets close-on-exec by itself.
  const fd = lib.syscall(SYS_PIDFD_OPEN, 'int', pid, 'unsigned int', 0);
  if (fd < 0) return lib.errno() === constants.errno.ESRCH ? 'gone' : 'unavailable';
  let open = true;
  let handle: PollHandle | undefined;
  return {
    waitExit: () =>
      new Promise((resolve, reject) => {
        handle = lib.poll(fd, { readable: true }, (status) => {
          handle?.close();
          handle = undefined;
          if (status < 0) reject(systemError('poll', -status));
          else resolve();
        });
      }),
    unref: () => handle?.unref(),
    sendSignal(signal) {
      const number = constants.signals[signal];
      if (lib.syscall(SYS_PIDFD_SEND_SIGNAL, 'int', fd, 'int', number, 'void *', null, 'unsigned int', 0) === 0) {
        return true;
      }
      const errno = lib.errno();
      if (errno === constants.errno.ESRCH) return false;
      throw systemError('pidfd_send_signal', errno);
    },
    close() {
      if (!open) return;
      open = false;
      handle?.close();
      handle = undefined;
      closeSync(fd);
    },
  };
}
