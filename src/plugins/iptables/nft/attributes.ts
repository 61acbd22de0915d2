/**
 * Netlink attributes (linux/netlink.h, struct nlattr) written one behind the other into a buffer that grows, and read in
 * place: a thousand published ports are three thousand rules of some forty attributes each.
 */

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const FIRST_BYTES = 16 * 1024;

const aligned = (length: number): number => (length + 3) & ~3;

export class AttributeWriter {
  #bytes = Buffer.alloc(FIRST_BYTES);
  #length = 0;

  /** What was written; valid until the next write. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Room of `length` bytes, zeroed, 4-aligned behind; the caller fills it before it writes on. */
  reserve(length: number): Buffer {
    const start = this.#length;
    const end = start + aligned(length);
    while (end > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2);
    this.#bytes.fill(0, start, end);
    this.#length = end;
    return this.#bytes.subarray(start, start + length);
  }

  clear(): void {
    this.#length = 0;
  }

  attribute(type: number, length: number): Buffer {
    const room = this.reserve(4 + length);
    room.writeUInt16LE(4 + length, 0);
    room.writeUInt16LE(type, 2);
    return room.subarray(4);
  }

  string(type: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.attribute(type, length + 1).write(text);
  }

  u32be(type: number, value: number): void {
    this.attribute(type, 4).writeUInt32BE(value >>> 0);
  }

  u64be(type: number, value: bigint): void {
    this.attribute(type, 8).writeBigUInt64BE(value);
  }

  /** Attributes that were written before. */
  append(attributes: Buffer): void {
    this.reserve(attributes.length).set(attributes);
  }

  bytesOf(type: number, bytes: Uint8Array): void {
    this.attribute(type, bytes.length).set(bytes);
  }

  /** @param flag NLA_F_NESTED or 0: what the kernel shows of a nest within an expression has it not. */
  nest(type: number, body: () => void, flag = NLA_F_NESTED): void {
    const start = this.#length;
    this.attribute(type | flag, 0);
    body();
    this.#bytes.writeUInt16LE(this.#length - start, start);
  }

  /** A message (struct nlmsghdr, struct nfgenmsg) around what `body` writes. */
  message(header: MessageHeader, body: () => void): void {
    const start = this.#length;
    const bytes = this.reserve(20);
    bytes.writeUInt16LE(header.type, 4);
    bytes.writeUInt16LE(header.flags, 6);
    bytes.writeUInt32LE(header.sequence, 8);
    bytes.writeUInt8(header.family, 16);
    bytes.writeUInt16BE(header.resource ?? 0, 18);
    body();
    this.#bytes.writeUInt32LE(this.#length - start, start);
  }
}

export interface MessageHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly family: number;
  readonly resource?: number;
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
