import { randomBytes } from 'node:crypto';
import type { ErrorCode } from './error-codes.js';
import { fieldError } from './errors.js';

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** A locally administered unicast address (IEEE 802: bit 1 of the first octet set, bit 0 clear) of 46 random bits. */
export function randomMac(): string {
  const octets = randomBytes(6);
  octets[0] = ((octets[0] ?? 0) & 0b1111_1100) | 0b0000_0010;
  return [...octets].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/** `52:54:00:AB:CD:EF` or with dashes → lower case with colons. @throws `code` for what is no unicast MAC. */
export function parseMac(text: string, field: string, code: ErrorCode = 'POD_SPEC_INVALID'): string {
  const mac = text.toLowerCase().replaceAll('-', ':');
  if (!MAC.test(mac)) throw fieldError(code, field, 'a MAC address like 52:54:00:12:34:56', text);
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) throw fieldError(code, field, 'a unicast MAC address', text);
  if (mac === '00:00:00:00:00:00') throw fieldError(code, field, 'a MAC address other than all zeros', text);
  return mac;
}
