import { createHash } from 'node:crypto';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { InterfaceAddress } from '../../core/network.js';
import { refusedWith } from '../../host/netlink/errno.js';
import type { Link, Rtnl } from './rtnl.js';
import { bridgeAddress, contains, parseSubnet, type Subnet, sameAddress } from './subnet.js';
import { ensureNetSysctl } from './sysctl.js';

const UNDO_MS = 30_000;

/** What a bridge has to be. */
export interface BridgeSpec {
  /** At most 15 characters. */
  readonly name: string;
  readonly network: string;
  /** Says whose it is. */
  readonly alias: string;
  readonly subnets: readonly Subnet[];
  readonly mtu: number;
  /** A bridge that the user named and made: it is checked, and never made, changed or deleted. */
  readonly foreign: boolean;
}

/**
 * The bridge of a network, made if it is not there; one that is there is accepted only if it fits. The caller holds the
 * lock of the networks.
 * @returns whether this call made it.
 * @throws NET_INIT_FAILED saying what differs; nothing of a bridge that does not fit was changed.
 */
export async function ensureBridge(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<boolean> {
  const before = await finishNaming(rtnl, spec, await rtnl.link(spec.name, options), options);
  const make = !before && !spec.foreign;
  if (make) await refuseOfOthers(rtnl, spec, options);
  if (make) await createBridge(rtnl, spec, options);
  try {
    await fitBridge(rtnl, spec, before ?? (await rtnl.link(spec.name, options)), options);
    return make;
  } catch (error) {
    if (make) await removeBridge(rtnl, spec, { signal: AbortSignal.timeout(UNDO_MS) });
    throw error;
  }
}

/** A second interface with addresses of a network that the machine is in already would lead its traffic astray. */
async function refuseOfOthers(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<void> {
  for (const { address, prefixLength, index } of await rtnl.everyAddress(options)) {
    const theirs = parseSubnet(`${address}/${prefixLength}`);
    const ours = spec.subnets.find((each) => contains(each, address) || contains(theirs, each.gateway));
    if (!ours) continue;
    const name = (await rtnl.links(options)).find((link) => link.index === index)?.name ?? `interface ${index}`;
    const field = `network.networks.${spec.network}.subnets`;
    const message = `${field}: expected one that no other interface is in, got ${ours.cidr}: ${name} has ${address}/${prefixLength}`;
    throw new HyperplugError('NET_INIT_FAILED', message, { details: { field, received: ours.cidr } });
  }
}

/** Removes a bridge that is ours. */
export async function removeBridge(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<void> {
  const link = await rtnl.link(spec.name, options);
  if (link && !spec.foreign && link.alias === spec.alias) await rtnl.deleteLink(link.index, options);
}

/**
 * The kernel gives a link its alias only by a second request: a bridge of our address, down and without an alias, is one
 * whose maker died between the two.
 */
async function finishNaming(
  rtnl: Rtnl,
  spec: BridgeSpec,
  link: Link | undefined,
  options: CallOptions,
): Promise<Link | undefined> {
  const halfMade = link?.kind === 'bridge' && !link.alias && !link.up && link.mac === stableMac(spec);
  if (!link || !halfMade || spec.foreign) return link;
  await rtnl.changeLink(link.index, { alias: spec.alias }, options);
  return rtnl.link(spec.name, options);
}

async function fitBridge(rtnl: Rtnl, spec: BridgeSpec, link: Link | undefined, options: CallOptions): Promise<void> {
  if (!link) throw misfit(spec, [{ expected: 'a bridge', received: 'no link of that name' }]);
  const drift = await bridgeDrift(rtnl, spec, link, options);
  refuseMisfit(spec, drift);
  if (drift.length > 0) await fitLink(rtnl, spec, link, options);
}

/**
 * What a maker that died half-way had still to do is done; what somebody else decided is not undone.
 * @throws NET_INIT_FAILED with all that differs.
 */
export function refuseMisfit(spec: BridgeSpec, drift: readonly BridgeDrift[]): void {
  if (spec.foreign ? drift.length > 0 : drift.some(({ kind }) => kind === 'foreign')) throw misfit(spec, drift);
}

/** Gives the interface of a bridge what is missing. */
export async function fitLink(rtnl: Rtnl, spec: BridgeSpec, link: Link, options: CallOptions): Promise<void> {
  for (const { family } of spec.subnets) {
    // Where new interfaces have no IPv6 (net.ipv6.conf.default), this one has.
    if (family === 6) ensureNetSysctl(rtnl.netnsPath, `ipv6/conf/${spec.name}/disable_ipv6`, '0');
  }
  for (const subnet of spec.subnets) await ensureAddress(rtnl, link.index, subnet, options);
  await rtnl.changeLink(link.index, { mtu: spec.mtu, up: true }, options);
}

export interface BridgeDrift {
  /** `missing`: ours to put right; `foreign`: another's doing. */
  readonly kind: 'missing' | 'foreign';
  readonly expected: string;
  readonly received: string;
  /** A bridge, but somebody else's: by this option a network takes it as it is. */
  readonly adoptedBy?: string;
}

/** A bridge that is not this network's by what marks it. */
export const notOurs = (expected: string, received: string): BridgeDrift => ({
  kind: 'foreign',
  expected,
  received,
  adoptedBy: 'network.netlink.adoptBridges',
});

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
  const ours = link.alias === spec.alias;
  if (!ours && !spec.foreign) {
    const received = link.alias ? `one with the alias ${JSON.stringify(link.alias)}` : 'one without an alias';
    drift.push(notOurs(`a bridge with the alias ${JSON.stringify(spec.alias)}`, received));
  }
  return [...drift, ...(await addressDrift(rtnl, spec, link, options))];
}

/** Addresses, MTU, up. */
export async function addressDrift(
  rtnl: Rtnl,
  spec: BridgeSpec,
  link: Link,
  options: CallOptions,
): Promise<BridgeDrift[]> {
  const drift = subnetDrift(spec, await rtnl.addresses(link.index, options));
  if (!link.up) drift.push({ kind: 'missing', expected: 'a bridge that is up', received: 'one that is down' });
  if (link.mtu !== spec.mtu) drift.push({ kind: 'missing', expected: `MTU ${spec.mtu}`, received: String(link.mtu) });
  return drift;
}

/** @param addresses all that the bridge has. */
export function subnetDrift(
  { subnets }: Pick<BridgeSpec, 'subnets'>,
  addresses: readonly InterfaceAddress[],
): BridgeDrift[] {
  const has = addresses.filter(isOfSubnet);
  const drift: BridgeDrift[] = [];
  for (const address of subnets.map(bridgeAddress)) {
    if (has.some((one) => sameAddress(one, address))) continue;
    const family = has.filter((one) => one.address.includes(':') === address.address.includes(':'));
    drift.push({
      kind: family.length > 0 ? 'foreign' : 'missing',
      expected: `the address ${address.address}/${address.prefixLength}`,
      received: family.map((one) => `${one.address}/${one.prefixLength}`).join(', ') || 'none of its family',
    });
  }
  return drift;
}

/** The kernel gives each bridge a link-local one besides. */
export const isOfSubnet = ({ address }: InterfaceAddress): boolean => !address.startsWith('fe80:');

/**
 * Made with another MTU than it will have: only a change by request tells the kernel to keep it, where it would else follow
 * the smallest of the ports (br_mtu_auto_adjust).
 */
async function createBridge(rtnl: Rtnl, spec: BridgeSpec, options: CallOptions): Promise<void> {
  // A fixed address: without one the bridge takes the lowest of its ports', and changes it when that port goes.
  const mac = stableMac(spec);
  const { alias } = spec;
  await rtnl.createLink(
    'bridge',
    spec.name,
    { alias, mac, mtu: spec.mtu - 1 },
    { forwardDelay: 0, stpState: 0 },
    options,
  );
}

async function ensureAddress(rtnl: Rtnl, index: number, subnet: Subnet, options: CallOptions): Promise<void> {
  try {
    await rtnl.addAddress(index, bridgeAddress(subnet), options);
  } catch (error) {
    if (!refusedWith(error, 'EEXIST')) throw error;
  }
}

function stableMac({ name, alias }: BridgeSpec): string {
  const digest = createHash('sha256').update(`${name}\0${alias}`).digest();
  digest[0] = ((digest[0] ?? 0) & 0xfc) | 0x02;
  return [...digest.subarray(0, 6)].map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

export function misfit({ name, network }: BridgeSpec, drift: readonly Omit<BridgeDrift, 'kind'>[]): HyperplugError {
  const differs = drift.map(({ expected, received }) => `expected ${expected}, got ${received}`).join('; ');
  const option = drift.find(({ adoptedBy }) => adoptedBy !== undefined)?.adoptedBy;
  const fix = option && `name it in ${option}, if it is yours and the network shall use it as it is`;
  return new HyperplugError(
    'NET_INIT_FAILED',
    `bridge ${name} of network ${network}: ${differs}${fix ? ` (${fix})` : ''}`,
    {
      details: {
        field: `network.networks.${network}.bridge`,
        expected: drift.map(({ expected }) => expected).join('; '),
        received: drift.map(({ received }) => received).join('; '),
        ...(fix && { fix }),
      },
    },
  );
}
