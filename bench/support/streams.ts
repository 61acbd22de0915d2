import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

export const MIB = 1024 * 1024;

/** Writes so many bytes, as fast as they are taken. */
export async function pour(to: Writable, bytes: number, block = 64 * 1024): Promise<void> {
  const chunk = Buffer.alloc(block);
  for (let left = bytes; left > 0; left -= block) {
    if (!to.write(left < block ? chunk.subarray(0, left) : chunk)) await once(to, 'drain');
  }
}

/** Resolves when so many bytes have come. @throws when it ends before. */
export function drain(from: Readable, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = 0;
    const onData = (chunk: Buffer) => {
      seen += chunk.length;
      if (seen < bytes) return;
      from.off('data', onData).off('end', onEnd);
      resolve();
    };
    const onEnd = () => reject(new Error(`the stream ended after ${seen} of ${bytes} bytes`));
    from.on('data', onData).once('end', onEnd);
  });
}

/** MiB/s of `bytes` that `body` moves. */
export async function throughput(bytes: number, body: () => Promise<unknown>): Promise<number> {
  const begun = process.hrtime.bigint();
  await body();
  return bytes / MIB / (Number(process.hrtime.bigint() - begun) / 1e9);
}
