import { hash } from 'node:crypto';
import { ownerMark } from '../../core/ownership.js';

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
export const tapName = (podId: string, nicId: string, owner?: string): string =>
  `hp${digest(`${owner === undefined ? '' : `${owner}\0`}${podId}\0${nicId}`, MAX_NAME - 2)}`;

/** linux/if.h: IFALIASZ is 256. Says whose a link is. */
export const tapAlias = (podId: string, nicId: string, owner?: string): string =>
  `${ownerMark(owner)} pod ${podId} nic ${nicId}`;

export const bridgeAlias = (network: string, owner?: string): string => `${ownerMark(owner)} network ${network}`;

/** The NIC that a device of ours is of, by its alias; undefined: it is not ours. */
export function nicOfAlias(alias: string | undefined, owner?: string): { podId: string; nicId: string } | undefined {
  const words = alias?.split(' ') ?? [];
  const [mark, pod, podId, nic, nicId] = words;
  if (words.length !== 5 || mark !== ownerMark(owner) || pod !== 'pod' || nic !== 'nic') return undefined;
  return { podId: podId as string, nicId: nicId as string };
}

/**
 * IFLA_GROUP of a network's taps: by it a port finds back to its bridge when that was made anew. 31 bits, never 0 (the
 * kernel's default).
 */
export function tapGroup(network: string): number {
  return hash('sha256', `group\0${network}`, 'buffer').readUInt32LE() & 0x7fffffff || 1;
}

/** Base 32 without letters that look alike: five bits each, from the last. */
function digest(text: string, length: number): string {
  const hex = hash('sha256', text);
  const four = (at: number) => Number.parseInt(hex.charAt(hex.length - 1 - at), 16);
  let result = '';
  for (let bit = 0; bit < length * 5; bit += 5) {
    const at = bit >> 2;
    result += 'abcdefghijkmnpqrstuvwxyz23456789'[((four(at) | (four(at + 1) << 4)) >> (bit & 3)) & 31];
  }
  return result;
}
