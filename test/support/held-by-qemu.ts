import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { QmpClient } from '../../src/plugins/qemu/qmp/client.js';

/** What a kept pod's QEMU says that it has: devices, network backends, what lies on its buses; and its open descriptors. */
export async function heldByQemu(runDir: string) {
  const call = { signal: AbortSignal.timeout(30_000) };
  const { process } = JSON.parse(readFileSync(join(runDir, 'vm.json'), 'utf8')) as { process: { pid: number } };
  const qmp = await QmpClient.connect(connect(join(runDir, 's/qmp')), {}, call);
  try {
    const children = async (path: string) => {
      const entries = (await qmp.execute('qom-list', { path }, call)) as unknown as { name: string }[];
      return entries.map(({ name }) => name).sort();
    };
    return {
      devices: await children('/machine/peripheral'),
      nameless: await children('/machine/peripheral-anon'),
      objects: await children('/objects'),
      backends: await qmp.execute('human-monitor-command', { 'command-line': 'info network' }, call),
      pci: places(await qmp.execute('query-pci', undefined, call)),
      descriptors: readdirSync(`/proc/${process.pid}/fd`).length,
    };
  } finally {
    qmp.close();
  }
}

interface PciDevice {
  readonly bus: number;
  readonly slot: number;
  readonly id: { readonly device: number };
  readonly pci_bridge?: { readonly devices?: readonly PciDevice[] };
}

/** Where devices are, and what; without the windows of memory that the guest gives its bridges. */
function places(buses: unknown): string[] {
  const of = ({ bus, slot, id, pci_bridge: bridge }: PciDevice): string[] => [
    `${bus}:${slot} ${id.device}`,
    ...(bridge?.devices ?? []).flatMap(of),
  ];
  return (buses as readonly { readonly devices: readonly PciDevice[] }[]).flatMap(({ devices }) => devices.flatMap(of));
}
