import { ByteWriter } from '../../../host/netlink/codec/byte-writer.js';

/**
 * Netlink attributes (linux/netlink.h, struct nlattr) written one behind the other into a buffer that grows, and read in
 * place: a thousand published ports are three thousand rules of some forty attributes each.
 */

const NLA_TYPE_MASK = 0x3fff;
const FIRST_BYTES = 1024;
/** struct nlmsghdr and struct nfgenmsg. */
const MESSAGE_HEADER_BYTES = 20;

const aligned = (length: number): number => (length + 3) & ~3;

export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly family: number;
  readonly resource?: number;
}

export class AttributeWriter {
  readonly #to = new ByteWriter(FIRST_BYTES);

  /** What was written; valid until the next write. */
  get bytes(): Buffer {
    return this.#to.bytes;
  }

  clear(): void {
    this.#to.clear();
  }

  string(type: number, text: string): void {
    const at = this.#attribute(type, Buffer.byteLength(text) + 1);
    this.#to.buffer.write(text, at);
  }

  u32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#to.buffer.writeUInt32BE(value >>> 0, at);
  }

  u64be(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#to.buffer.writeBigUInt64BE(value, at);
  }

  /** @returns where they are. */
  binary(type: number, bytes: Uint8Array): number {
    const at = this.#attribute(type, bytes.length);
    this.#to.buffer.set(bytes, at);
    return at;
  }

  /** Zeroes. @returns where they are. */
  room(type: number, length: number): number {
    return this.#attribute(type, length);
  }

  /** Attributes that were written before. */
  append(attributes: Uint8Array): void {
    const at = this.#to.reserve(attributes.length);
    this.#to.buffer.set(attributes, at);
  }

  /** Without NLA_F_NESTED, as nf_tables itself shows nests: what it echoes is then the same, byte for byte. */
  nest(type: number, body: () => void): void {
    const start = this.#to.length;
    this.#attribute(type, 0);
    body();
    this.#to.buffer.writeUInt16LE(this.#to.length - start, start);
  }

  /** A message around what `body` writes. */
  message({ type, flags, sequence, family, resource = 0 }: MessageHeader, body: () => void): void {
    const start = this.#to.reserve(MESSAGE_HEADER_BYTES);
    const { buffer } = this.#to;
    buffer.writeUInt16LE(type, start + 4);
    buffer.writeUInt16LE(flags, start + 6);
    buffer.writeUInt32LE(sequence, start + 8);
    buffer.writeUInt8(family, start + 16);
    buffer.writeUInt16BE(resource, start + 18);
    body();
    this.#to.buffer.writeUInt32LE(this.#to.length - start, start);
  }

  /** Where the payload begins. */
  #attribute(type: number, length: number): number {
    const start = this.#to.reserve(4 + length);
    this.#to.buffer.writeUInt16LE(4 + length, start);
    this.#to.buffer.writeUInt16LE(type, start + 2);
    return start + 4;
  }
}

/** Calls `each` with every attribute of a list; true from it ends the walk. @throws RangeError for lengths that do not fit. */
export function eachAttribute(bytes: Buffer, each: (type: number, payload: Buffer) => boolean | undefined): void {
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < 4 || offset + length > bytes.length) {
      throw new RangeError(`netlink attribute at ${offset}: length ${length} in ${bytes.length} bytes`);
    }
    if (each(bytes.readUInt16LE(offset + 2) & NLA_TYPE_MASK, bytes.subarray(offset + 4, offset + length))) return;
    offset += aligned(length);
  }
}

export function attributeOf(bytes: Buffer, wanted: number): Buffer | undefined {
  let found: Buffer | undefined;
  eachAttribute(bytes, (type, payload) => {
    if (type === wanted) found = payload;
    return found !== undefined;
  });
  return found;
}

/** Up to the NUL. */
export function textOf(payload: Buffer | undefined): string {
  if (!payload) return '';
  // Names are short: a look for the NUL outside of JavaScript takes longer.
  let end = 0;
  while (end < payload.length && payload[end] !== 0) end++;
  return payload.toString('utf8', 0, end);
}
