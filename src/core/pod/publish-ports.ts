import { z } from 'zod';
import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { AddressLease, HostNicRecord, PortMapping } from '../network.js';
import { UndoStack } from '../undo.js';
import { portSchema } from './interface-spec.js';
import { needNetworks } from './need-networks.js';
import type { PodNetworkParts } from './pod-network.js';
import { hostPortsMeet, parsePortRange, portsOverlap, rangeText, refuseToAny, sameMapping } from './ports.js';
import type { NicRecord } from './record.js';
import { checked, wrong } from './spec-errors.js';

const selectorSchema = z.strictObject({
  hostPort: z.union([z.number().int(), z.string()]),
  protocol: z.enum(['tcp', 'udp', 'sctp']).default('tcp'),
  hostAddress: z.string().optional(),
});

/** All or none; the record says what is about to be published before it is. */
export async function publish(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<PortMapping[]> {
  const { services, table } = parts;
  const wanted = checked(z.array(portSchema).min(1).max(1024), inputs, 'portmappings').map((input, index) => {
    const field = `portmappings[${index}]`;
    return { nicId: portNic(table.list(), input.interface, field), mapping: parsePortRange(input, field) };
  });
  const { backend } = services;
  if (!backend.capabilities.livePublish || !backend.publish) {
    throw new HyperplugError('NOT_SUPPORTED', `network ${backend.name} does not declare livePublish`);
  }
  const unknown = wanted.find(({ mapping }) => !backend.capabilities.publish.includes(mapping.protocol));
  if (unknown) {
    const expected = backend.capabilities.publish.join(', ') || 'none';
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `protocol: expected one that network ${backend.name} publishes (${expected}), got ${unknown.mapping.protocol}`,
    );
  }
  refuseToAny(
    backend,
    wanted.map(({ mapping }) => mapping),
  );
  const ids = [...new Set(wanted.map(({ nicId }) => nicId))];
  await needNetworks(parts, ids, call);
  await table.inTurns(ids, async () => {
    const undo = new UndoStack();
    try {
      for (const id of ids) {
        const mine = wanted.filter(({ nicId }) => nicId === id).map(({ mapping }) => mapping);
        await publishOnNic(parts, id, mine, undo, call);
      }
      const told = wanted.map(({ nicId, mapping }) => table.event('port-published', nicId, { port: { ...mapping } }));
      await table.update((record) => record, call, told);
    } catch (error) {
      throw await undo.fail('POD_CLEANUP_FAILED', 'ports were not published, nor withdrawn wholly', error);
    }
  });
  return wanted.map(({ mapping }) => mapping);
}

function portNic(nics: readonly NicRecord[], id: string | undefined, field: string): string {
  const known = nics.filter(({ kind, state }) => kind === 'network' && (state === 'ready' || state === 'changing'));
  const nic = id === undefined ? known[0] : known.find((each) => each.id === id);
  if (nic) return nic.id;
  throw wrong(
    `${field}.interface`,
    `one of ${known.map((each) => each.id).join(', ') || 'none: no NIC has a host side'}`,
    id,
  );
}

async function publishOnNic(
  parts: PodNetworkParts,
  id: string,
  mappings: readonly PortMapping[],
  undo: UndoStack,
  call: CallOptions,
): Promise<void> {
  const { table } = parts;
  const nic = table.find(id);
  const fresh = mappings.filter((mapping) => !nic.ports.some((each) => sameMapping(each, mapping)));
  if (fresh.length === 0) return;
  refuseOverlaps(table.list(), fresh);
  undo.pushWhenClean(`record of ports of NIC ${id}`, (undoCall) => forget(parts, id, fresh, undoCall));
  await table.set(id, { ports: [...nic.ports, ...fresh] }, call);
  await publishOn(parts, nic, fresh, undo, call);
}

/** @throws NET_PORT_IN_USE another NIC of the pod, or this one, has the host port. */
function refuseOverlaps(nics: readonly NicRecord[], fresh: readonly PortMapping[]): void {
  const held = nics.flatMap(({ id, ports }) => ports.map((mapping) => ({ id, mapping })));
  for (const [index, mapping] of fresh.entries()) {
    const other = [...held, ...fresh.slice(0, index).map((each) => ({ id: 'the same call', mapping: each }))].find(
      (each) => portsOverlap(each.mapping, mapping),
    );
    if (!other) continue;
    // The first that both have.
    const port = Math.max(mapping.hostPort, other.mapping.hostPort);
    const what = `${port}/${mapping.protocol} on ${other.mapping.hostAddress}`;
    throw new HyperplugError('NET_PORT_IN_USE', `port ${what} is published already (${other.id})`, {
      details: { ...mapping, holder: other.id },
    });
  }
}

/** Backend, then what the hypervisor has to do for it. */
export async function publishOn(
  { services, vm }: PodNetworkParts,
  nic: NicRecord,
  mappings: readonly PortMapping[],
  undo: UndoStack,
  call: CallOptions,
): Promise<void> {
  const { backend, driver } = services;
  const lease = nic.lease as AddressLease;
  const host = nic.host as HostNicRecord;
  const forwards = backend.forwards?.(lease, mappings) ?? [];
  if (forwards.length > 0 && !driver.capabilities.liveForwards) {
    throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${driver.name} does not declare liveForwards`);
  }
  undo.push('published ports', async (undoCall) => backend.unpublish?.(host, mappings, undoCall));
  await backend.publish?.(host, lease, mappings, call);
  for (const forward of forwards) {
    await vm.hypervisor.addForward(nic.id, forward, call);
    undo.push(`forward of port ${forward.hostPort}`, (undoCall) =>
      vm.hypervisor.removeForward(nic.id, forward, undoCall),
    );
  }
}

/** Idempotent. */
export async function unpublishFrom(
  { services, vm }: PodNetworkParts,
  nic: NicRecord,
  mappings: readonly PortMapping[],
  call: CallOptions,
): Promise<void> {
  const { backend } = services;
  const lease = nic.lease as AddressLease;
  for (const forward of backend.forwards?.(lease, mappings) ?? []) {
    await vm.hypervisor.removeForward(nic.id, forward, call);
  }
  await backend.unpublish?.(nic.host as HostNicRecord, mappings, call);
}

/** What fails stays in the record, and calling again goes on. */
export async function unpublish(parts: PodNetworkParts, inputs: unknown, call: CallOptions): Promise<PortMapping[]> {
  const { services, table } = parts;
  const selectors = checked(z.array(selectorSchema).min(1).max(1024), inputs, 'ports').map((input, index) => {
    const { hostPort, protocol, hostAddress } = input;
    const range = { protocol, hostPort, containerPort: hostPort, ...(hostAddress !== undefined && { hostAddress }) };
    return { ...parsePortRange(range, `ports[${index}]`), anywhere: hostAddress === undefined };
  });
  const chosen = (mapping: PortMapping) =>
    selectors.some(
      (each) =>
        each.protocol === mapping.protocol &&
        each.hostPort === mapping.hostPort &&
        each.count === mapping.count &&
        (each.anywhere || each.hostAddress === mapping.hostAddress),
    );
  const ids = table.list().flatMap(({ id, ports }) => (ports.some(chosen) ? [id] : []));
  for (const [index, selector] of selectors.entries()) refusePart(table.list(), selector, `ports[${index}].hostPort`);
  if (ids.length > 0 && (!services.backend.capabilities.livePublish || !services.backend.unpublish)) {
    throw new HyperplugError('NOT_SUPPORTED', `network ${services.backend.name} does not declare livePublish`);
  }
  const withdrawn: PortMapping[] = [];
  await table.inTurns(ids, async () => {
    for (const id of ids) {
      const nic = table.find(id);
      const mine = nic.ports.filter(chosen);
      await unpublishFrom(parts, nic, mine, call);
      await forget(parts, id, mine, call, 'port-withdrawn');
      withdrawn.push(...mine);
    }
  });
  return withdrawn;
}

/** A range is withdrawn as it was published. */
function refusePart(nics: readonly NicRecord[], selector: PortMapping, field: string): void {
  const met = nics.flatMap(({ ports }) => ports).find((each) => hostPortsMeet(each, selector));
  if (!met || (met.hostPort === selector.hostPort && met.count === selector.count)) return;
  const published = rangeText(met.hostPort, met.count);
  throw wrong(field, `${published}, as it was published`, rangeText(selector.hostPort, selector.count));
}

function forget(
  { table }: PodNetworkParts,
  id: string,
  ports: readonly PortMapping[],
  call: CallOptions,
  told?: 'port-withdrawn',
) {
  return table.set(
    id,
    { ports: table.find(id).ports.filter((each) => !ports.some((other) => sameMapping(each, other))) },
    call,
    told ? ports.map((port) => table.event(told, id, { port: { ...port } })) : [],
  );
}
