import { BLOCK_BYTES, encodeHeader, padding, type TarHeader, tarError } from './header.js';

export interface PackEntry extends TarHeader {
  /** Exactly `sizeBytes`; none for what is no file. */
  readonly content?: AsyncIterable<Uint8Array>;
}

const CHUNK_BYTES = 64 * 1024;

/** An archive of these entries, in pieces of about 64 KiB. @throws POD_COPY_FAILED a content is not as long as was told. */
export async function* pack(entries: AsyncIterable<PackEntry>): AsyncGenerator<Buffer, void, undefined> {
  let held: Uint8Array[] = [];
  let size = 0;
  const add = (chunk: Uint8Array): Buffer | undefined => {
    held.push(chunk);
    size += chunk.length;
    return size >= CHUNK_BYTES ? flush() : undefined;
  };
  const flush = (): Buffer => {
    const all = Buffer.concat(held);
    held = [];
    size = 0;
    return all;
  };
  for await (const entry of entries) {
    let full = add(encodeHeader(entry));
    if (full) yield full;
    let left = entry.sizeBytes;
    for await (const chunk of entry.content ?? []) {
      left -= chunk.length;
      if (left < 0) break;
      full = add(chunk);
      if (full) yield full;
    }
    if (left !== 0) throw tarError(`${entry.path} changed while it was read (${entry.sizeBytes} bytes were expected)`);
    full = add(Buffer.alloc(padding(entry.sizeBytes)));
    if (full) yield full;
  }
  add(Buffer.alloc(2 * BLOCK_BYTES));
  yield flush();
}
