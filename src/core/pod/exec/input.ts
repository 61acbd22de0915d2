import { Writable } from 'node:stream';
import type { ExecInput } from './types.js';

/**
 * A command's standard input before the command is there. That the command reads no more closes it, and is no error: programs
 * may end without having read everything.
 */
export function commandInput(target: Promise<Writable>): Writable {
  const stream: Writable = new Writable({
    write: (chunk: Buffer, _encoding, callback) => {
      target.then(
        (guest) => guest.write(chunk, (error) => (error ? gone(callback) : callback())),
        () => gone(callback),
      );
    },
    final: (callback) => {
      target.then(
        (guest) => {
          guest.end();
          callback();
        },
        () => callback(),
      );
    },
    destroy: (error, callback) => {
      target.then(
        (guest) => guest.end(),
        () => {},
      );
      callback(error);
    },
  });
  const gone = (callback: () => void) => {
    stream.destroy();
    callback();
  };
  target.then(
    (guest) => guest.on('error', () => stream.destroy()).on('close', () => stream.destroy()),
    () => {},
  );
  return stream;
}

/** Resolves when all was written or nobody wants more. @throws what the input itself failed with. */
export async function feed(input: ExecInput, stdin: Writable): Promise<void> {
  if (typeof input === 'string' || input instanceof Uint8Array) {
    stdin.end(input);
    return;
  }
  const closed = new Promise<void>((resolve) => {
    stdin.once('close', resolve);
  });
  for await (const chunk of input) {
    if (stdin.destroyed) return;
    if (!stdin.write(chunk)) await Promise.race([closed, new Promise<void>((resolve) => stdin.once('drain', resolve))]);
  }
  stdin.end();
}
