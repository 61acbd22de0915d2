import { createRequire } from 'node:module';

/** termios(3): struct termios of x86-64 is 60 bytes, c_oflag at 4; asm-generic/termbits.h: OPOST is 1. */
const TERMIOS_BYTES = 60;
const OFLAG_OFFSET = 4;
const OPOST = 1;
const TCSANOW = 0;

/**
 * Output goes to the terminal as it is. Node's raw mode leaves the translation of line feeds on (libuv sets ONLCR), and a
 * program in the guest that moves the cursor down would then land in the first column. Node's setRawMode(false) puts back
 * what was there before it. Without koffi, or where it fails, the terminal is left as Node made it.
 */
export function passOutputUnchanged(fd: number): void {
  try {
    const koffi = createRequire(import.meta.url)('koffi');
    const libc = koffi.load(null);
    const termios = Buffer.alloc(TERMIOS_BYTES);
    if (libc.func('int tcgetattr(int fd, void *termios)')(fd, termios) !== 0) return;
    termios.writeUInt32LE((termios.readUInt32LE(OFLAG_OFFSET) & ~OPOST) >>> 0, OFLAG_OFFSET);
    libc.func('int tcsetattr(int fd, int actions, const void *termios)')(fd, TCSANOW, termios);
  } catch {
    // The terminal works, but for that.
  }
}
