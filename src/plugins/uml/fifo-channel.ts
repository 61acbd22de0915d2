import { closeSync, constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants as osConstants } from 'node:os';
import { Duplex } from 'node:stream';
import koffi from 'koffi';
import { HyperplugError } from '../../core/errors.js';
import { flock } from '../../host/lock.js';

const libc = koffi.load('libc.so.6');
const mkfifo = libc.func('int mkfifo(const char *, unsigned int)');

export interface FifoPaths {
  readonly toGuest: string;
  readonly fromGuest: string;
}

/**
 * The two FIFOs of a serial line, open for reading and writing both: UML inherits them so and never sees an end, whoever comes
 * and goes on our side.
 */
export function makeFifos({ toGuest, fromGuest }: FifoPaths): readonly [number, number] {
  for (const path of [toGuest, fromGuest]) {
    if (mkfifo(path, 0o600) === 0) continue;
    const errno = koffi.errno();
    throw new HyperplugError('HOST_PERMISSION', `mkfifo ${path}: errno ${errno}`, { details: { path, errno } });
  }
  const flags = constants.O_RDWR | constants.O_NONBLOCK;
  const first = openSync(toGuest, flags);
  try {
    return [first, openSync(fromGuest, flags)];
  } catch (error) {
    closeSync(first);
    throw error;
  }
}

/**
 * Our end of a serial line. It ends when UML, the only other holder, is gone.
 * @throws POD_BUSY another opener has it; VM_EXITED nobody holds the other end.
 */
export function openFifos({ toGuest, fromGuest }: FifoPaths, name: string): Duplex {
  const fds: number[] = [];
  try {
    fds.push(openSync(fromGuest, constants.O_RDONLY | constants.O_NONBLOCK));
    if (!flock(fromGuest, fds[0] as number, true)) {
      throw new HyperplugError('POD_BUSY', `channel ${name} of the VM is held elsewhere`, {
        details: { channel: name },
      });
    }
    fds.push(openSync(toGuest, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    const { errno } = error as NodeJS.ErrnoException;
    const gone = [-osConstants.errno.ENOENT, -osConstants.errno.ENXIO].includes(errno ?? 0);
    if (!gone) throw error;
    throw new HyperplugError('VM_EXITED', `channel ${name}: ${(error as Error).message}`, { cause: error });
  }
  const [input, output] = fds as [number, number];
  return new FifoChannel(
    new Socket({ fd: input, readable: true, writable: false }),
    new Socket({ fd: output, readable: false, writable: true }),
  );
}

class FifoChannel extends Duplex {
  constructor(
    private readonly input: Socket,
    private readonly output: Socket,
  ) {
    super({ allowHalfOpen: false });
    input.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) input.pause();
    });
    input.on('end', () => this.push(null));
    // The end of the guest is the end of both ways.
    this.once('end', () => this.destroy());
    for (const each of [input, output]) each.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.input.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.output.write(chunk, (error) => done(error));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.input.destroy();
    this.output.destroy();
    done(error);
  }
}
