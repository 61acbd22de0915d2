import { createHash } from 'node:crypto';

/** linux/if.h: IFNAMSIZ is 16 with the NUL. */
const MAX_NAME = 15;
const DEFAULT_BRIDGE = 'hyper0';

/** `hyper0` for the default network; others get a name of their own that tells them apart. */
export function bridgeName(network: string): string {
  if (network === 'default') return DEFAULT_BRIDGE;
  const readable = `hyper-${network}`;
  return readable.length <= MAX_NAME ? readable : `hyper-${digest(network, MAX_NAME - 6)}`;
}

/**
 * `hp` and 52 bits of a digest of pod and NIC: no two of them share a name by a common beginning of their ids. Whose it
 * is stands in the alias.
 */
export const tapName = (podId: string, nicId: string): string => `hp${digest(`${podId}\0${nicId}`, MAX_NAME - 2)}`;

export const tapAlias = (podId: string, nicId: string): string => `hyperplug pod ${podId} nic ${nicId}`;

export const TAP_ALIAS = 'hyperplug pod ';

/**
 * IFLA_GROUP of a network's taps: by it a port finds back to its bridge when that was made anew. 31 bits, never 0 (the
 * kernel's default).
 */
export function tapGroup(network: string): number {
  return createHash('sha256').update(`group\0${network}`).digest().readUInt32LE() & 0x7fffffff || 1;
}

/** Base 32 without letters that look alike. */
function digest(text: string, length: number): string {
  const bytes = createHash('sha256').update(text).digest();
  let value = BigInt(`0x${bytes.toString('hex')}`);
  let result = '';
  for (let i = 0; i < length; i++) {
    result += 'abcdefghijkmnpqrstuvwxyz23456789'[Number(value & 31n)];
    value >>= 5n;
  }
  return result;
}
