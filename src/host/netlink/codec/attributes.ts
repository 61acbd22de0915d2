import { isIPv4 } from 'node:net';
import { decodeIp, decodeMac, encodeIp, encodeMac } from './address.js';

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

export function table(rows: Readonly<Record<number, readonly [string, AttributeType]>>): AttributeTable {
  const entries = Object.entries(rows).map(([number, [name, type]]) => [Number(number), name, type] as const);
  return {
    byNumber: new Map(entries.map(([number, name, type]) => [number, [name, type]])),
    byName: new Map(entries.map(([number, name, type]) => [name, [number, type]])),
  };
}

/** @throws TypeError for a name the table lacks or a value that does not fit its type. */
export function encodeAttributes(attributes: Attributes, rows: AttributeTable): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    const row = rows.byName.get(name);
    if (!row) throw new TypeError(`${name}: no such netlink attribute`);
    const [number, type] = row;
    const payload = encodeValue(name, value, type, attributes);
    const header = Buffer.alloc(4);
    header.writeUInt16LE(4 + payload.length, 0);
    header.writeUInt16LE(typeof type === 'object' ? number | NLA_F_NESTED : number, 2);
    parts.push(header, payload, Buffer.alloc(padding(payload.length)));
  }
  return Buffer.concat(parts);
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

function encodeValue(name: string, value: AttributeValue, type: AttributeType, siblings: Attributes): Buffer {
  const wrong = (expected: string) =>
    new TypeError(`${name}: expected ${expected}, got ${String(value)} (${typeof value})`);
  if (typeof type === 'object') {
    if (typeof value !== 'object' || Buffer.isBuffer(value)) throw wrong('attributes');
    return encodeAttributes(value, nestOf(name, type, siblings));
  }
  switch (type) {
    case 'flag':
      if (value !== true) throw wrong('true');
      return Buffer.alloc(0);
    case 'string':
      if (typeof value !== 'string' || value.includes('\0')) throw wrong('a string without NUL');
      return Buffer.from(`${value}\0`);
    case 'mac':
      if (typeof value !== 'string') throw wrong('a MAC address');
      return encodeMac(value);
    case 'ip':
      if (typeof value !== 'string') throw wrong('an IP address');
      return encodeIp(value);
    case 'binary':
      if (!Buffer.isBuffer(value)) throw wrong('bytes');
      return value;
    default:
      return encodeInteger(value, type, wrong);
  }
}

function encodeInteger(
  value: AttributeValue,
  type: keyof typeof INTEGERS,
  wrong: (expected: string) => TypeError,
): Buffer {
  const bytes = Buffer.alloc(INTEGERS[type]);
  if (type === 'u64') {
    if (typeof value !== 'bigint' || value < 0n || value >= 1n << 64n) throw wrong('a 64-bit bigint');
    bytes.writeBigUInt64LE(value);
    return bytes;
  }
  const bits = bytes.length * 8;
  const [min, max] = type === 's32' ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** bits - 1];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
    throw wrong(`an integer of ${type}`);
  if (type === 'u8') bytes.writeUInt8(value);
  else if (type === 'u16') bytes.writeUInt16LE(value);
  else if (type === 'u16be') bytes.writeUInt16BE(value);
  else if (type === 'u32') bytes.writeUInt32LE(value);
  else bytes.writeInt32LE(value);
  return bytes;
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
