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
  #bytes = Buffer.alloc(FIRST_BYTES);
  #length = 0;

  /** What was written; valid until the next write. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  string(type: number, text: string): void {
    const at = this.#attribute(type, Buffer.byteLength(text) + 1);
    this.#bytes.write(text, at);
  }

  u32be(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#bytes.writeUInt32BE(value >>> 0, at);
  }

  u64be(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#bytes.writeBigUInt64BE(value, at);
  }

  binary(type: number, bytes: Uint8Array): void {
    const at = this.#attribute(type, bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Zeroes. @returns where they are. */
  room(type: number, length: number): number {
    return this.#attribute(type, length);
  }

  /** Attributes that were written before. */
  append(attributes: Uint8Array): void {
    const at = this.#reserve(attributes.length);
    this.#bytes.set(attributes, at);
  }

  /** Without NLA_F_NESTED, as nf_tables itself shows nests: what it echoes is then the same, byte for byte. */
  nest(type: number, body: () => void): void {
    const start = this.#length;
    this.#attribute(type, 0);
    body();
    this.#bytes.writeUInt16LE(this.#length - start, start);
  }

  /** A message around what `body` writes. */
  message({ type, flags, sequence, family, resource = 0 }: MessageHeader, body: () => void): void {
    const start = this.#reserve(MESSAGE_HEADER_BYTES);
    this.#bytes.writeUInt16LE(type, start + 4);
    this.#bytes.writeUInt16LE(flags, start + 6);
    this.#bytes.writeUInt32LE(sequence, start + 8);
    this.#bytes.writeUInt8(family, start + 16);
    this.#bytes.writeUInt16BE(resource, start + 18);
    body();
    this.#bytes.writeUInt32LE(this.#length - start, start);
  }

  /** Where the payload begins. */
  #attribute(type: number, length: number): number {
    const start = this.#reserve(4 + length);
    this.#bytes.writeUInt16LE(4 + length, start);
    this.#bytes.writeUInt16LE(type, start + 2);
    return start + 4;
  }

  /** Zeroes, aligned behind. */
  #reserve(length: number): number {
    const start = this.#length;
    const end = start + aligned(length);
    while (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2);
    this.#bytes.fill(0, start, end);
    this.#length = end;
    return start;
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
  const end = payload.indexOf(0);
  return payload.toString('utf8', 0, end < 0 ? payload.length : end);
}
