/** The fakes' own protocol between FakeAgent and FakeGuest: `u32 length | u16 header length | JSON header | body`, big-endian. */
export const FAKE_CHANNEL = 'hyperplug.fake-agent';
export const FAKE_PROTOCOL_VERSION = 1;
export const MAX_FILE_BYTES = 16 << 20;
/** Bytes in flight on each direction of each stream. */
export const STREAM_WINDOW_BYTES = 64 << 10;
const MAX_FRAME_BYTES = MAX_FILE_BYTES + (64 << 10);
const PREFIX_BYTES = 6;

export interface Frame {
  readonly header: unknown;
  readonly body: Buffer;
}

export function encodeFrame(header: object, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(2 + text.length + body.length, 0);
  prefix.writeUInt16BE(text.length, 4);
  return Buffer.concat([prefix, text, body]);
}

/** Bytes in any portions → frames. Throws, in words, at what is no frame; it is of no use after that. */
export class FrameDecoder {
  #parts: Buffer[] = [];
  #size = 0;

  push(chunk: Buffer): Frame[] {
    this.#parts.push(chunk);
    this.#size += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    if (this.#size < PREFIX_BYTES) return undefined;
    let buffer = this.#join(PREFIX_BYTES);
    const length = buffer.readUInt32BE(0);
    const headerLength = buffer.readUInt16BE(4);
    if (length > MAX_FRAME_BYTES) throw new Error(`a frame of ${length} bytes, at most ${MAX_FRAME_BYTES} are allowed`);
    if (2 + headerLength > length) throw new Error(`a header of ${headerLength} bytes in a frame of ${length}`);
    if (this.#size < 4 + length) return undefined;
    buffer = this.#join(4 + length);
    const end = PREFIX_BYTES + headerLength;
    const header: unknown = JSON.parse(buffer.toString('utf8', PREFIX_BYTES, end));
    const rest = buffer.subarray(4 + length);
    this.#parts = rest.length > 0 ? [rest] : [];
    this.#size = rest.length;
    return { header, body: Buffer.from(buffer.subarray(end, 4 + length)) };
  }

  /** Joins the parts only once there is enough, so that small portions of a large frame are not copied each time. */
  #join(bytes: number): Buffer {
    const first = this.#parts[0];
    if (first && first.length >= bytes) return first;
    const joined = Buffer.concat(this.#parts);
    this.#parts = [joined];
    return joined;
  }
}
