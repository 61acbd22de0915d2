import { isIPv4 } from 'node:net';
import { decodeIp, decodeMac, encodeIp, encodeMac } from './address.js';
import type { ByteWriter } from './byte-writer.js';

/**
 * Attributes by table: a row is (number, name, type), from which encoder and decoder follow. Layout: linux/netlink.h,
 * struct nlattr { u16 len; u16 type }, padded to 4, host byte order (little-endian on every machine this runs on; checked
 * by the socket).
 */
export type AttributeType =
  | 'flag'
  | 'u8'
  | 'u16'
  | 'u16be'
  | 'u32'
  | 's32'
  | 'u64'
  | 'string'
  | 'mac'
  | 'ip'
  | 'binary'
  | { readonly nested: AttributeTable }
  /** A nest whose table depends on the value of a sibling that precedes it (IFLA_INFO_DATA on IFLA_INFO_KIND). */
  | { readonly nestedBy: string; readonly tables: Readonly<Record<string, AttributeTable>> };

export interface AttributeTable {
  readonly byNumber: ReadonlyMap<number, readonly [name: string, type: AttributeType]>;
  readonly byName: ReadonlyMap<string, readonly [number: number, type: AttributeType]>;
}

export type AttributeValue = boolean | number | bigint | string | Buffer | Attributes;
export interface Attributes {
  readonly [name: string]: AttributeValue | undefined;
}

const NLA_TYPE_MASK = 0x3fff;
const NLA_F_NESTED = 0x8000;
const HEADER_BYTES = 4;

export function table(rows: Readonly<Record<number, readonly [string, AttributeType]>>): AttributeTable {
  const entries = Object.entries(rows).map(([number, [name, type]]) => [Number(number), name, type] as const);
  return {
    byNumber: new Map(entries.map(([number, name, type]) => [number, [name, type]])),
    byName: new Map(entries.map(([number, name, type]) => [name, [number, type]])),
  };
}

/** Some rows of a table: what else a message has is then left out as unknown. */
export function rowsOf(rows: AttributeTable, ...names: readonly string[]): AttributeTable {
  const kept = (name: string) => names.includes(name);
  return {
    byNumber: new Map([...rows.byNumber].filter(([, [name]]) => kept(name))),
    byName: new Map([...rows.byName].filter(([name]) => kept(name))),
  };
}

/** @throws TypeError for a name the table lacks or a value that does not fit its type. */
export function writeAttributes(to: ByteWriter, attributes: Attributes, rows: AttributeTable): void {
  for (const name in attributes) {
    const value = attributes[name];
    if (value === undefined || value === false) continue;
    const row = rows.byName.get(name);
    if (!row) throw new TypeError(`${name}: no such netlink attribute`);
    const [number, type] = row;
    if (typeof type === 'object') {
      if (typeof value !== 'object' || Buffer.isBuffer(value)) throw wrongValue(name, 'attributes', value);
      const start = to.reserve(HEADER_BYTES);
      writeAttributes(to, value, nestOf(name, type, attributes));
      writeHeader(to, start, to.length - start, number | NLA_F_NESTED);
    } else {
      writeValue(to, number, name, value, type);
    }
  }
}

/** Unknown attributes are left out. @throws RangeError for lengths that do not fit. */
export function decodeAttributes(bytes: Buffer, rows: AttributeTable): Attributes {
  const attributes: Record<string, AttributeValue> = {};
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(offset);
    if (length < 4 || offset + length > bytes.length) {
      throw new RangeError(`netlink attribute at ${offset}: length ${length} in ${bytes.length} bytes`);
    }
    const row = rows.byNumber.get(bytes.readUInt16LE(offset + 2) & NLA_TYPE_MASK);
    if (row) {
      const [name, type] = row;
      const value = decodeValue(name, bytes.subarray(offset + 4, offset + length), type, attributes);
      if (value !== undefined) attributes[name] = value;
    }
    offset += length + padding(length);
  }
  return attributes;
}

export const padding = (length: number): number => (4 - (length & 3)) & 3;

const INTEGERS = { u8: 1, u16: 2, u16be: 2, u32: 4, s32: 4, u64: 8 } as const;

function writeHeader({ buffer }: ByteWriter, at: number, length: number, number: number): void {
  buffer.writeUInt16LE(length, at);
  buffer.writeUInt16LE(number, at + 2);
}

/** @returns where its payload is. */
function room(to: ByteWriter, number: number, length: number): number {
  const at = to.reserve(HEADER_BYTES + length);
  writeHeader(to, at, HEADER_BYTES + length, number);
  return at + HEADER_BYTES;
}

const wrongValue = (name: string, expected: string, value: AttributeValue): TypeError =>
  new TypeError(`${name}: expected ${expected}, got ${String(value)} (${typeof value})`);

function writeValue(
  to: ByteWriter,
  number: number,
  name: string,
  value: AttributeValue,
  type: Extract<AttributeType, string>,
): void {
  const bytes = (payload: Uint8Array) => {
    const at = room(to, number, payload.length);
    to.buffer.set(payload, at);
  };
  switch (type) {
    case 'flag':
      if (value !== true) throw wrongValue(name, 'true', value);
      return void room(to, number, 0);
    case 'string': {
      if (typeof value !== 'string' || value.includes('\0')) throw wrongValue(name, 'a string without NUL', value);
      const at = room(to, number, Buffer.byteLength(value) + 1);
      return void to.buffer.write(value, at);
    }
    case 'mac':
      if (typeof value !== 'string') throw wrongValue(name, 'a MAC address', value);
      return void bytes(encodeMac(value));
    case 'ip':
      if (typeof value !== 'string') throw wrongValue(name, 'an IP address', value);
      return void bytes(encodeIp(value));
    case 'binary':
      if (!Buffer.isBuffer(value)) throw wrongValue(name, 'bytes', value);
      return void bytes(value);
    default:
      writeInteger(to, number, name, value, type);
  }
}

function writeInteger(
  to: ByteWriter,
  number: number,
  name: string,
  value: AttributeValue,
  type: keyof typeof INTEGERS,
): void {
  const size = INTEGERS[type];
  if (type === 'u64') {
    if (typeof value !== 'bigint' || value < 0n || value >= 1n << 64n) throw wrongValue(name, 'a 64-bit bigint', value);
    const at = room(to, number, size);
    to.buffer.writeBigUInt64LE(value, at);
    return;
  }
  const [min, max] = type === 's32' ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** (size * 8) - 1];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
    throw wrongValue(name, `an integer of ${type}`, value);
  const at = room(to, number, size);
  const { buffer } = to;
  if (type === 'u8') buffer.writeUInt8(value, at);
  else if (type === 'u16') buffer.writeUInt16LE(value, at);
  else if (type === 'u16be') buffer.writeUInt16BE(value, at);
  else if (type === 'u32') buffer.writeUInt32LE(value, at);
  else buffer.writeInt32LE(value, at);
}

function decodeValue(
  name: string,
  bytes: Buffer,
  type: AttributeType,
  siblings: Attributes,
): AttributeValue | undefined {
  if (typeof type === 'object') {
    const rows = 'nested' in type ? type.nested : type.tables[String(siblings[type.nestedBy])];
    return rows ? decodeAttributes(bytes, rows) : undefined;
  }
  switch (type) {
    case 'flag':
      return true;
    case 'string': {
      const end = bytes.indexOf(0);
      return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
    }
    case 'mac':
      // Other link types have addresses of other lengths (IPv4 tunnels: 4, none: 0).
      return bytes.length === 6 ? decodeMac(bytes) : undefined;
    case 'ip':
      return bytes.length === 4 || bytes.length === 16 ? decodeIp(bytes) : undefined;
    case 'binary':
      return Buffer.from(bytes);
    default:
      if (bytes.length < INTEGERS[type]) throw new RangeError(`${name}: ${bytes.length} bytes are too few for ${type}`);
      if (type === 'u64') return bytes.readBigUInt64LE();
      if (type === 'u8') return bytes.readUInt8();
      if (type === 'u16') return bytes.readUInt16LE();
      if (type === 'u16be') return bytes.readUInt16BE();
      return type === 'u32' ? bytes.readUInt32LE() : bytes.readInt32LE();
  }
}

function nestOf(name: string, type: Exclude<AttributeType, string>, siblings: Attributes): AttributeTable {
  if ('nested' in type) return type.nested;
  const rows = type.tables[String(siblings[type.nestedBy])];
  if (!rows) throw new TypeError(`${name}: no table for ${type.nestedBy} ${String(siblings[type.nestedBy])}`);
  return rows;
}

/** AF_INET or AF_INET6 of an address in text. */
export const familyOf = (address: string): 2 | 10 => (isIPv4(address) ? 2 : 10);
