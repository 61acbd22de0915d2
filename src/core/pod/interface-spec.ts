import { z } from 'zod';
import { formatAddress, parseAddress, parseAddressWithPrefix } from '../ipam/index.js';
import { deepFreeze, type JsonObject } from '../json.js';
import { parseMac } from '../mac.js';
import type { InterfaceAddress, PortMapping } from '../network.js';
import { INTERFACE_NAME, NIC_ID } from './interface-names.js';
import { guestPortCount, parsePortRange, rangeText } from './ports.js';
import { checked, wrong } from './spec-errors.js';

const nicId = z.string().regex(NIC_ID.pattern, NIC_ID.expected);
export const interfaceName = z.string().regex(INTERFACE_NAME.pattern, INTERFACE_NAME.expected);
export const mtu = z.number().int().min(68).max(65535);
const port = z.union([z.number().int(), z.string()]);

/** The guest's own: it is only given addresses. */
export const LOOPBACK = 'lo';

export const interfaceSchema = z.strictObject({
  id: nicId.optional(),
  network: z.string().min(1, 'the name of a network').optional().describe('name of a configured network'),
  ip: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('addresses to ask for, with or without prefix length; else one is allocated'),
  mac: z.string().optional(),
  mtu: mtu.optional(),
  ifname: interfaceName.optional().describe('name in the guest; lo: its loopback, which gets addresses and no device'),
  gateway: z
    .union([z.string(), z.literal(false)])
    .optional()
    .describe("of the default route; false: none by this interface; default: the network's, for the first interface"),
  tap: interfaceName
    .optional()
    .describe('a tap of yours on the host, by name: used as it is, never changed or removed; default: one is made'),
});

export const portSchema = z.strictObject({
  hostAddress: z.string().optional(),
  hostPort: port,
  containerPort: port.describe(
    "hyperd's name for the port in the guest; a range of as many as hostPort has, or, where that is one, of any length",
  ),
  protocol: z.enum(['tcp', 'udp', 'sctp']).default('tcp'),
  interface: z.string().optional().describe('id of the interface it leads to; the first by default'),
});

/** An interface as it stands in a pod's specification; `ifname: lo` is the guest's loopback. */
export type InterfaceInput = z.input<typeof interfaceSchema>;
/** A port mapping as it stands there. */
export type PortInput = z.input<typeof portSchema>;
/** An interface for a running pod, with its own port mappings. */
export type NicInput = InterfaceInput & { readonly portmappings?: readonly Omit<PortInput, 'interface'>[] };

const nicSchema = interfaceSchema.extend({
  portmappings: z
    .array(portSchema.omit({ interface: true }))
    .max(1024)
    .optional(),
});

export interface InterfaceSpec {
  readonly id: string;
  readonly kind: 'network' | 'loopback';
  readonly network: string;
  /** Canonical, with the prefix length where one was given. Empty: automatic. */
  readonly addresses: readonly string[];
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly name: string | undefined;
  /** Of the default route; undefined: the network's, where no other interface has one. */
  readonly gateway: string | false | undefined;
  /** A tap of the user's; undefined: one is made. */
  readonly tap: string | undefined;
  readonly ports: readonly PortMapping[];
}

/** @throws POD_SPEC_INVALID naming the field below `field`. */
export function completeInterface(
  input: z.output<typeof interfaceSchema>,
  id: string,
  defaultNetwork: string,
  ports: readonly PortMapping[],
  field: string,
): InterfaceSpec {
  const { ip, mac, ifname: name, gateway } = input;
  const given = ip === undefined ? [] : typeof ip === 'string' ? [ip] : ip;
  const addresses = given.map((text) => addressText(text, `${field}.ip`));
  if (new Set(addresses.map(bare)).size < addresses.length) throw wrong(`${field}.ip`, 'each address once', given);
  const kind = name === LOOPBACK ? 'loopback' : 'network';
  if (kind === 'loopback') {
    for (const key of ['network', 'mac', 'mtu', 'gateway', 'tap'] as const) {
      if (input[key] !== undefined) throw wrong(`${field}.${key}`, 'nothing for the loopback', input[key]);
    }
    if (ports.length > 0) throw wrong(`${field}.portmappings`, 'none for the loopback', ports);
  }
  return {
    id,
    kind,
    network: input.network ?? defaultNetwork,
    addresses,
    mac: mac === undefined ? undefined : parseMac(mac, `${field}.mac`),
    mtu: input.mtu,
    name,
    gateway: typeof gateway === 'string' ? addressOnly(gateway, `${field}.gateway`) : gateway,
    tap: input.tap,
    ports,
  };
}

/** Interfaces for a pod that has these NICs already. @throws POD_SPEC_INVALID */
export function parseNicInputs(
  inputs: unknown,
  taken: readonly string[],
  defaultNetwork: string,
): readonly InterfaceSpec[] {
  const nics = checked(z.array(nicSchema).min(1).max(32), inputs, 'interfaces');
  const ids = [...taken, ...nics.flatMap(({ id }) => id ?? [])];
  return deepFreeze(
    nics.map(({ portmappings = [], ...nic }, index) => {
      const field = `interfaces[${index}]`;
      const id = nic.id ?? freeId(nic.ifname, ids);
      ids.push(id);
      const ports = portmappings.map((mapping, at) => parsePortRange(mapping, `${field}.portmappings[${at}]`));
      return completeInterface(nic, id, defaultNetwork, ports, field);
    }),
  );
}

function freeId(name: string | undefined, taken: readonly string[]): string {
  if (name === LOOPBACK) return LOOPBACK;
  if (!taken.includes('eth-default')) return 'eth-default';
  for (let number = 1; ; number++) if (!taken.includes(`eth-${number}`)) return `eth-${number}`;
}

/** Canonical; with the prefix length where there is one. @throws POD_SPEC_INVALID */
export function addressText(text: string, field: string): string {
  const { family, value, prefixLength } = parseAddressWithPrefix(text, field, 'POD_SPEC_INVALID');
  const address = formatAddress(family, value);
  return prefixLength === undefined ? address : `${address}/${prefixLength}`;
}

export function addressOnly(text: string, field: string): string {
  const { family, value } = parseAddress(text, field, 'POD_SPEC_INVALID');
  return formatAddress(family, value);
}

/** Without the prefix length. */
export const bare = (text: string): string => text.split('/')[0] as string;

export const prefixOf = (text: string): number | undefined => {
  const [, prefix] = text.split('/');
  return prefix === undefined ? undefined : Number(prefix);
};

/** Of one that is given with its prefix length, or that stands for itself alone. */
export function interfaceAddress(text: string): InterfaceAddress {
  const address = bare(text);
  return { address, prefixLength: prefixOf(text) ?? (address.includes(':') ? 128 : 32) };
}

/** As users write it. */
export function interfaceJson({
  id,
  kind,
  network,
  addresses,
  mac,
  mtu,
  name,
  gateway,
  tap,
}: InterfaceSpec): JsonObject {
  return {
    id,
    ...(kind === 'network' && { network }),
    ...(addresses.length > 0 && { ip: addresses }),
    ...(mac !== undefined && { mac }),
    ...(mtu !== undefined && { mtu }),
    ...(name !== undefined && { ifname: name }),
    ...(gateway !== undefined && { gateway }),
    ...(tap !== undefined && { tap }),
  };
}

export function portJson(mapping: PortMapping): JsonObject {
  const { protocol, hostAddress, hostPort, guestPort, count } = mapping;
  const range = (first: number, ports: number) => (ports === 1 ? first : rangeText(first, ports));
  const containerPort = range(guestPort, guestPortCount(mapping));
  return { hostAddress, hostPort: range(hostPort, count), containerPort, protocol };
}
