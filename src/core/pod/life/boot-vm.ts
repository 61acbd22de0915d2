import { randomUUID } from 'node:crypto';
import type { GuestNic } from '../../agent.js';
import { type CallOptions, raceSignal } from '../../calls.js';
import { concurrently } from '../../concurrently.js';
import type { HypervisorVm, NicEndpointKind, VmSpec } from '../../hypervisor.js';
import { deepFreeze } from '../../json.js';
import { loopShare } from '../../loop-share.js';
import type { BootWay } from '../../template/choice.js';
import { templateVmSpec } from '../../template/make.js';
import { renewGuest } from '../../template/renew.js';
import { type UndoStack, undoTogether } from '../../undo.js';
import { Vm } from '../../vm/vm.js';
import { nicConfig, readBack } from '../guest-state.js';
import { LOOPBACK } from '../interface-spec.js';
import type { NicTable } from '../nic-table.js';
import { type PlannedNic, type PreparedNic, prepareNics, seeForwards } from '../nics.js';
import { defaultRoutes, guestRoute } from '../routes.js';
import { type PodServices, podDirectories } from '../services.js';
import type { PodSpec } from '../spec.js';
import { makeContents } from './containers.js';
import type { StoragePlan } from './storage.js';

export interface BootParts {
  readonly services: PodServices;
  readonly spec: PodSpec;
  readonly way: BootWay;
  readonly storage: StoragePlan;
  readonly planned: readonly PlannedNic[];
  readonly table: NicTable;
  readonly endpoint: NicEndpointKind;
  readonly undo: UndoStack;
}

export interface GuestUp {
  readonly vm: Vm;
  /** In the order of the record's; undefined where the guest was not asked. */
  readonly guestNics: readonly GuestNic[];
}

/** Addresses and host devices of all NICs, and the routes that follow from them: in the record before this resolves. */
export async function prepare(
  { services, spec, planned, table, endpoint }: BootParts,
  netnsPath: string | undefined,
  undo: UndoStack,
  call: CallOptions,
): Promise<readonly PreparedNic[]> {
  const networks = planned.filter(({ spec: nic }) => nic.kind === 'network');
  const names = networks.map(({ spec: nic }) => nic.network);
  await raceSignal(services.prepareHost(names, call), call.signal, 'the networks');
  if (networks.length === 0 && spec.routes.length === 0) return [];
  const making = { backend: services.backend, endpoint, cpus: spec.cpus, netnsPath };
  const prepared = await prepareNics(making, networks, undo, call);
  const made = new Map(prepared.map((nic) => [nic.record.id, nic.record]));
  const routable = prepared.map(({ record: { id, lease } }) => {
    return { id, lease, gateway: spec.interfaces.find((nic) => nic.id === id)?.gateway };
  });
  const routes = [...spec.routes, ...defaultRoutes(routable, spec.routes)];
  await table.update((now) => ({ ...now, nics: now.nics.map((nic) => made.get(nic.id) ?? nic), routes }), call);
  return prepared;
}

/** A VM that boots; `nics` are there at boot, or come while the guest boots where the hypervisor takes none before. */
export async function bootVm(parts: BootParts, nics: readonly PreparedNic[], call: CallOptions): Promise<GuestUp> {
  const { services, table, undo } = parts;
  const { driver } = services;
  const late: PreparedNic[] = [];
  const vm = await Vm.launch(services, vmSpec(parts, nics), undo, call, async (hypervisor, limited) => {
    const written = writeVm(table, hypervisor, limited);
    if (driver.capabilities.coldplugNic) {
      await Promise.all([written, ...nics.map((nic) => nic.host.handedOver())]);
      return;
    }
    await written;
    late.push(...(await prepare(parts, hypervisor.netnsPath, undo, limited)));
    await plugIn(hypervisor, late, limited);
  });
  const [guestNics] = await concurrently(
    [(limited) => configure(parts, vm, limited), (limited) => fill(parts, vm, limited)],
    call,
  );
  await forwardsSeen(parts, vm, late, call);
  return { vm, guestNics: guestNics ?? [] };
}

/** A VM that has booted once goes on as this pod's; its NICs come while it does. */
export async function cloneVm(parts: BootParts, call: CallOptions): Promise<GuestUp> {
  const { services, table, undo, way } = parts;
  const { template } = way;
  if (!template || !services.templates) throw new TypeError('cloneVm: expected a template');
  const { templates } = services;
  // They are given back when the VM is gone, which is launched meanwhile.
  const nicUndo = undoTogether(undo, 'NICs');
  const early = services.driver.capabilities.coldplugNic;
  let vm: Vm | undefined;
  let prepared: readonly PreparedNic[] = [];
  await concurrently<void>(
    [
      async (limited) => {
        vm = await templates.use(template, limited, () =>
          Vm.launch(services, vmSpec(parts, []), undo, limited, (hypervisor, each) => writeVm(table, hypervisor, each)),
        );
      },
      async (limited) => {
        if (early) prepared = await prepare(parts, undefined, nicUndo, limited);
      },
    ],
    call,
  );
  if (!vm) throw new TypeError('cloneVm: no VM');
  if (!early) prepared = await prepare(parts, vm.hypervisor.netnsPath, nicUndo, call);
  return settleIn(parts, vm, prepared, call, (running, limited) =>
    running.explained(() => renewGuest(running, limited)),
  );
}

/** One of the pool's. */
export async function claimedVm(parts: BootParts, call: CallOptions): Promise<GuestUp> {
  const { clone } = parts.way;
  if (!clone) throw new TypeError('claimedVm: expected a clone');
  const { vm } = clone;
  const prepared = await prepare(parts, vm.hypervisor.netnsPath, parts.undo, call);
  return settleIn(parts, vm, prepared, call);
}

/** A guest that runs already becomes this pod's. What `renew` says to it comes first: it is sent first, and an agent keeps the order. */
export async function settleIn(
  parts: BootParts,
  vm: Vm,
  nics: readonly PreparedNic[],
  call: CallOptions,
  renew: (vm: Vm, call: CallOptions) => Promise<void> = async () => {},
): Promise<GuestUp> {
  const [, guestNics] = await concurrently<readonly GuestNic[] | undefined>(
    [
      async (limited) => {
        await renew(vm, limited);
        await plugIn(vm.hypervisor, nics, limited);
        return undefined;
      },
      (limited) => configure(parts, vm, limited),
      (limited) => fill(parts, vm, limited),
    ],
    call,
  );
  await forwardsSeen(parts, vm, nics, call);
  return { vm, guestNics: guestNics ?? [] };
}

/** Not `running` before it is what was asked for: a manager that dies meanwhile leaves a half-made pod. */
async function writeVm(table: NicTable, hypervisor: HypervisorVm, call: CallOptions): Promise<void> {
  const vm = hypervisor.record();
  await table.update((now) => ({ ...now, vm }), call);
}

/** In order: so the guest's kernel names them. */
async function plugIn(hypervisor: HypervisorVm, nics: readonly PreparedNic[], call: CallOptions): Promise<void> {
  for (const nic of nics) {
    await hypervisor.attachNic(nic.vmNic, call);
    await nic.host.handedOver();
  }
}

async function forwardsSeen(
  { services }: BootParts,
  vm: Vm,
  nics: readonly PreparedNic[],
  call: CallOptions,
): Promise<void> {
  await Promise.all(nics.map((nic) => seeForwards(services.driver, vm.hypervisor, nic.vmNic, call)));
}

/** What is in the pod: volumes, containers, files. */
async function fill({ storage, spec }: BootParts, vm: Vm, call: CallOptions): Promise<undefined> {
  await vm.explained(() => makeContents(vm.session, storage, spec.files, call));
  return undefined;
}

/** machine-id(5): a version 4 UUID. Each boot has its own, a clone's too. */
const newMachineId = () => randomUUID().replaceAll('-', '');

async function configure({ spec, table }: BootParts, vm: Vm, call: CallOptions): Promise<GuestNic[]> {
  await loopShare.take();
  const { record } = table;
  const leased = record.nics.flatMap(({ lease }) => lease?.dns ?? []);
  const dns = spec.dns.length > 0 ? spec.dns : [...new Set(leased)];
  const { hostname, dnsSearch, dnsOptions } = spec;
  let number = 0;
  const configs = record.nics.map((nic) => nicConfig(nic, nic.kind === 'loopback' ? LOOPBACK : `eth${number++}`));
  const routes = record.routes.map((route) => guestRoute(route, record.nics));
  const setup = { hostname, dns, dnsSearch, dnsOptions, machineId: newMachineId() };
  const guestNics = await vm.configure(setup, configs, routes, call);
  await loopShare.take();
  await vm.explained(() => readBack(vm.session, { present: record.nics, routes: record.routes }, record.nics, call));
  return guestNics;
}

function vmSpec({ services, spec, way, storage }: BootParts, nics: readonly PreparedNic[]): VmSpec {
  const dirs = podDirectories(services.directories, spec.id);
  const place = { id: spec.id, runDir: dirs.run, consoleLogPath: dirs.consoleLog, detached: spec.keep };
  const { image, template } = way;
  if (template) {
    const { directory, saved } = template;
    return templateVmSpec(services, template, image, place, { role: 'clone', directory, saved, booted: true });
  }
  const { capabilities } = services.driver;
  // Those that come after the launch.
  const later = spec.interfaces.filter(({ kind }) => kind === 'network').length - nics.length;
  const slots = capabilities.hotplugNic ? Math.min(later + spec.nicSlots, capabilities.maxNics - nics.length) : 0;
  const bare = templateVmSpec(services, { ...spec, nicSlots: slots }, image, place);
  return deepFreeze({
    ...bare,
    nics: nics.map((nic) => nic.vmNic),
    disks: storage.disks,
    shares: storage.shares,
    ...(storage.containers.some(({ setup }) => setup.layer.kind === 'tmpfs' || setup.layer.kind === 'disk') && {
      overlays: true,
    }),
    // Any of them: a NIC may come later.
    ...(services.networks.some(({ subnets }) => subnets.some((subnet) => subnet.includes(':'))) && { ipv6: true }),
  });
}
