import { isIPv6 } from 'node:net';
import { parseIpv6 } from '../../../core/ipam/address-text.js';

const ZERO = 48;
/** Of its code, as digits are. */
const DOT = 46 - ZERO;

export function encodeMac(mac: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new TypeError(`expected a MAC address, got ${mac}`);
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function decodeMac(bytes: Buffer): string {
  return [...bytes].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/** Network byte order: 4 or 16 bytes. */
export function encodeIp(address: string): Buffer {
  const four = ipv4Bytes(address);
  if (four) return four;
  const value = isIPv6(address) && !address.includes('%') ? parseIpv6(canonicalIpv6(address)) : undefined;
  if (value !== undefined) return bigEndian(value, 16);
  throw new TypeError(`expected an IP address, got ${address}`);
}

/** Strictly dotted decimal, as isIPv4() has it: four numbers without leading zeroes. */
function ipv4Bytes(text: string): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(4);
  let count = 0;
  let value = 0;
  let digits = 0;
  for (let at = 0; at <= text.length; at++) {
    const digit = at < text.length ? text.charCodeAt(at) - ZERO : DOT;
    if (digit === DOT) {
      if (digits === 0 || count === 4) return undefined;
      bytes[count++] = value;
      value = 0;
      digits = 0;
    } else {
      if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return undefined;
      value = value * 10 + digit;
      if (value > 255) return undefined;
      digits++;
    }
  }
  return count === 4 ? bytes : undefined;
}

/** Canonical text: dotted quad, or RFC 5952. */
export function decodeIp(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return canonicalIpv6(groups.join(':'));
}

/** RFC 5952 by the URL parser, which compresses and lower-cases. */
export function canonicalIpv6(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

function bigEndian(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
}
