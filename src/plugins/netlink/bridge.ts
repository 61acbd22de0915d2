import { createHash } from 'node:crypto';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { refusedWith } from './errno.js';
import type { Link, Rtnl } from './rtnl.js';
import { bridgeAddress, type Subnet, sameAddress } from './subnet.js';

/** What a bridge has to be. */
export interface BridgeSpec {
  /** At most 15 characters. */
  readonly name: string;
  readonly network: string;
  readonly subnets: readonly Subnet[];
  readonly mtu: number;
  /** A bridge that the user named and made: it is checked, and never made, changed or deleted. */
  readonly foreign: boolean;
}

/** linux/if.h: IFALIASZ is 256. Says whose a link is. */
export const bridgeAlias = (network: string): string => `hyperplug network ${network}`;

/**
 * The bridge of a network, made if it is not there; one that is there is accepted only if it fits. Concurrent calls, of
 * other processes too, end with one bridge: who loses the race to make it finds the winner's.
 * @throws NET_INIT_FAILED saying what differs; nothing of a bridge that does not fit was changed.
 */
export async function ensureBridge(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<Link> {
  let link = await rtnl.link(spec.name, options);
  if (!link && !spec.foreign) {
    await createBridge(rtnl, spec, options);
    link = await rtnl.link(spec.name, options);
  }
  if (!link) throw mismatch(spec, 'a bridge', 'no link of that name');
  const drift = await bridgeDrift(rtnl, spec, link, options);
  // What a maker that died half-way had still to do is done; what somebody else decided is not undone.
  const [fatal] = drift.filter(({ kind }) => kind === 'foreign');
  if (fatal) throw mismatch(spec, fatal.expected, fatal.received);
  if (spec.foreign) {
    const [first] = drift;
    if (first) throw mismatch(spec, first.expected, first.received);
    return link;
  }
  for (const subnet of spec.subnets) await ensureAddress(rtnl, link.index, subnet, options);
  if (!link.up || link.mtu !== spec.mtu) await rtnl.changeLink(link.index, { mtu: spec.mtu, up: true }, options);
  return (await rtnl.link(spec.name, options)) ?? link;
}

export interface BridgeDrift {
  /** `missing`: ours to put right; `foreign`: another's doing. */
  readonly kind: 'missing' | 'foreign';
  readonly expected: string;
  readonly received: string;
}

/** What differs between a bridge and its specification. */
export async function bridgeDrift(
  rtnl: Rtnl,
  spec: BridgeSpec,
  link: Link,
  options: CallOptions,
): Promise<BridgeDrift[]> {
  if (link.kind !== 'bridge')
    return [{ kind: 'foreign', expected: 'a bridge', received: link.kind ?? 'a device of no kind' }];
  const drift: BridgeDrift[] = [];
  const ours = link.alias === bridgeAlias(spec.network);
  if (!ours && !spec.foreign) {
    const received = link.alias ? `one with the alias ${JSON.stringify(link.alias)}` : 'one without an alias';
    drift.push({
      kind: 'foreign',
      expected: `a bridge with the alias ${JSON.stringify(bridgeAlias(spec.network))}`,
      received,
    });
  }
  const has = (await rtnl.addresses(link.index, options)).filter(({ address }) => !address.startsWith('fe80:'));
  const wanted = spec.subnets.map(bridgeAddress);
  for (const address of wanted) {
    if (has.some((one) => sameAddress(one, address))) continue;
    const family = has.filter((one) => one.address.includes(':') === address.address.includes(':'));
    drift.push({
      kind: family.length > 0 ? 'foreign' : 'missing',
      expected: `the address ${address.address}/${address.prefixLength}`,
      received: family.map((one) => `${one.address}/${one.prefixLength}`).join(', ') || 'none of its family',
    });
  }
  if (!link.up) drift.push({ kind: 'missing', expected: 'a bridge that is up', received: 'one that is down' });
  if (link.mtu !== spec.mtu) drift.push({ kind: 'missing', expected: `MTU ${spec.mtu}`, received: String(link.mtu) });
  return drift;
}

async function createBridge(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<void> {
  // A fixed address: without one the bridge takes the lowest of its ports', and changes it when that port goes.
  const mac = stableMac(spec.name, spec.network);
  try {
    await rtnl.createLink(
      'bridge',
      spec.name,
      { alias: bridgeAlias(spec.network), mac, mtu: spec.mtu, up: true },
      { forwardDelay: 0, stpState: 0 },
      options,
    );
  } catch (error) {
    if (!refusedWith(error, 'EEXIST')) throw error;
    // Another process made it a moment ago, and is about to name it.
    await settled(rtnl, spec, options);
  }
}

async function ensureAddress(rtnl: Rtnl, index: number, subnet: Subnet, options: CallOptions): Promise<void> {
  try {
    await rtnl.addAddress(index, bridgeAddress(subnet), options);
  } catch (error) {
    if (!refusedWith(error, 'EEXIST')) throw error;
  }
}

const SETTLE_TRIES = 40;
const SETTLE_INTERVAL_MS = 25;

async function settled(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<void> {
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    const link = await rtnl.link(spec.name, options);
    if (!link || link.alias !== undefined) return;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_INTERVAL_MS));
  }
}

function stableMac(name: string, network: string): string {
  const digest = createHash('sha256').update(`${name}\0${network}`).digest();
  digest[0] = ((digest[0] ?? 0) & 0xfc) | 0x02;
  return [...digest.subarray(0, 6)].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

function mismatch(spec: BridgeSpec, expected: string, received: string): HyperplugError {
  return new HyperplugError(
    'NET_INIT_FAILED',
    `bridge ${spec.name} of network ${spec.network}: expected ${expected}, got ${received}`,
    {
      details: { field: `network.networks.${spec.network}.bridge`, expected, received },
    },
  );
}
