import type { Allocation } from '../../core/address-pool.js';
import type { PublishedPort, Restriction } from '../../core/firewall.js';
import type { NicTrace, PortMapping } from '../../core/network.js';
import { nicOfAlias } from './names.js';
import type { PlannedNetwork } from './network.js';
import type { Link } from './rtnl.js';

interface Found {
  readonly links: readonly Link[];
  readonly ports: readonly PublishedPort[];
  readonly restrictions: readonly Restriction[];
  readonly allocations: readonly Allocation[];
  readonly networks: readonly PlannedNetwork[];
  readonly owner: string | undefined;
}

/** By alias, mark of rules and owner of addresses: all that is there of each NIC. */
export function nicTraces({ links, ports, restrictions, allocations, networks, owner }: Found): NicTrace[] {
  const traces = new Map<string, Mutable>();
  const of = (podId: string, nicId: string): Mutable => {
    const key = `${podId}/${nicId}`;
    const known = traces.get(key) ?? { podId, nicId, network: null, devices: [], addresses: [], ports: [] };
    traces.set(key, known);
    return known;
  };
  for (const { alias, name, group } of links) {
    const nic = nicOfAlias(alias, owner);
    if (!nic) continue;
    const trace = of(nic.podId, nic.nicId);
    trace.devices.push(name);
    trace.network ??= networks.find((network) => network.group === group)?.spec.name ?? null;
  }
  for (const { id, network, mapping } of ports) {
    const [podId = '', nicId = ''] = id.split('/');
    const trace = of(podId, nicId);
    trace.ports.push(mapping);
    trace.network ??= network;
  }
  for (const { id, network } of restrictions) {
    const [podId = '', nicId = ''] = id.split('/');
    of(podId, nicId).network ??= network;
  }
  for (const { address, network, owner: nic } of allocations) {
    const [podId, nicId, ...rest] = nic.split('/');
    // Of somebody who allocates for another purpose.
    if (!podId || !nicId || rest.length > 0) continue;
    const trace = of(podId, nicId);
    trace.addresses.push(address);
    trace.network ??= networks.find(({ subnets }) => subnets.some(({ cidr }) => cidr === network))?.spec.name ?? null;
  }
  return [...traces.values()];
}

interface Mutable extends NicTrace {
  network: string | null;
  readonly devices: string[];
  readonly addresses: string[];
  readonly ports: PortMapping[];
}
