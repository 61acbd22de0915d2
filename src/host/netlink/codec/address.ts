import { isIPv6 } from 'node:net';
import { parseIpv4, parseIpv6 } from '../../../core/ipam/address-text.js';

export function encodeMac(mac: string): Buffer {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new TypeError(`expected a MAC address, got ${mac}`);
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function decodeMac(bytes: Buffer): string {
  return [...bytes].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/** Network byte order: 4 or 16 bytes. */
export function encodeIp(address: string): Buffer {
  const four = parseIpv4(address);
  if (four !== undefined) {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(four);
    return bytes;
  }
  const value = isIPv6(address) && !address.includes('%') ? parseIpv6(canonicalIpv6(address)) : undefined;
  if (value !== undefined) return bigEndian(value, 16);
  throw new TypeError(`expected an IP address, got ${address}`);
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
