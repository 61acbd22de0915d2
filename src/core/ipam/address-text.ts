import type { ErrorCode } from '../error-codes.js';
import { fieldError } from '../errors.js';

export type Family = 4 | 6;

export interface ParsedAddress {
  readonly family: Family;
  readonly value: bigint;
}

const ZERO = 48;
/** As a digit. */
const DOT = 46 - ZERO;

/** Of an address that is known to be one: node:net's own test compiles an expression for some 10 ms at its first use. */
export const familyOfAddress = (address: string): Family => (address.includes(':') ? 6 : 4);

export const familyBits = (family: Family): 32 | 128 => (family === 4 ? 32 : 128);

/** Dotted decimal with four numbers and no leading zeros (which some programs read as octal); undefined: it is not that. */
export function parseIpv4(text: string): number | undefined {
  let value = 0;
  let dots = 0;
  /** -1: no digit of it yet. */
  let byte = -1;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit >= 0 && digit <= 9) {
      if (byte === 0) return undefined;
      byte = byte < 0 ? digit : byte * 10 + digit;
      if (byte > 255) return undefined;
    } else {
      if (digit !== DOT || byte < 0 || dots === 3) return undefined;
      value = value * 256 + byte;
      byte = -1;
      dots++;
    }
  }
  return dots === 3 && byte >= 0 ? value * 256 + byte : undefined;
}

/** RFC 4291 section 2.2, all three forms, without a zone; undefined: it is not that. */
export function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] as string, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (last && index === parts.length - 1 && part.includes('.')) {
      const v4 = parseIpv4(part);
      if (v4 === undefined) return undefined;
      groups.push(Math.floor(v4 / 0x10000), v4 % 0x10000);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
export function formatIpv6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  let start = -1;
  let length = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) {
      start = at;
      length = end - at;
    }
    if (end > at) at = end;
  }
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export function formatAddress(family: Family, value: bigint): string {
  return family === 4 ? formatIpv4(Number(value)) : formatIpv6(value);
}

/**
 * One address: no white space, zone, prefix, or leading zeros. An IPv4-mapped IPv6 address is not taken for IPv4: it is
 * an error that shows the form to write.
 * @throws `code` naming `field`.
 */
export function parseAddress(text: unknown, field: string, code: ErrorCode = 'IPAM_ADDRESS_INVALID'): ParsedAddress {
  if (typeof text !== 'string') throw fieldError(code, field, 'an IP address', text);
  const v4 = parseIpv4(text);
  if (v4 !== undefined) return { family: 4, value: BigInt(v4) };
  if (text.includes('%')) throw fieldError(code, field, 'an IP address without a zone (%…)', text);
  const v6 = parseIpv6(text);
  if (v6 === undefined) throw fieldError(code, field, 'an IP address', text);
  if (v6 >> 32n === 0xffffn) {
    const plain = formatIpv4(Number(v6 & 0xffff_ffffn));
    throw fieldError(code, field, `an IPv4 address written as such (${plain}), not IPv4-mapped`, text);
  }
  return { family: 6, value: v6 };
}

/**
 * An address with or without `/prefix`.
 * @throws `code` naming `field`, also for a prefix length that is no number or too long.
 */
export function parseAddressWithPrefix(
  text: unknown,
  field: string,
  code: ErrorCode = 'IPAM_ADDRESS_INVALID',
): ParsedAddress & { readonly prefixLength?: number } {
  const slash = typeof text === 'string' ? text.indexOf('/') : -1;
  if (typeof text !== 'string' || slash < 0) return parseAddress(text, field, code);
  const address = parseAddress(text.slice(0, slash), field, code);
  const digits = text.slice(slash + 1);
  const bits = familyBits(address.family);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > bits) {
    throw fieldError(code, field, `a prefix length of 0 to ${bits} after the slash`, text);
  }
  return { ...address, prefixLength: Number(digits) };
}
