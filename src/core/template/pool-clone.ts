import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { GuestSession } from '../agent.js';
import { type CallOptions, raceSignal } from '../calls.js';
import { hasCode } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { HeldLock } from '../host-services.js';
import type { BuiltinEndpoint, HypervisorCapabilities, VmNic } from '../hypervisor.js';
import { randomMac } from '../mac.js';
import { lockPod } from '../pod/lock.js';
import { podDirectories } from '../pod/services.js';
import { UndoStack } from '../undo.js';
import { Vm } from '../vm/vm.js';
import { type MakerServices, templateVmSpec } from './make.js';
import { renewGuest } from './renew.js';
import type { StoredTemplate, TemplateStore } from './store.js';

/**
 * A VM of no pod yet. It has an id of its own, as pods have, with a lock, a run directory and a directory for its console's
 * log: so that whoever collects garbage knows whose these are, while we live and afterwards.
 */
export interface PoolClone {
  readonly id: string;
  readonly vm: Vm;
  readonly template: StoredTemplate;
  readonly image: GuestImage;
  readonly runDir: string;
  readonly consoleLogPath: string;
  readonly lock: HeldLock;
}

const WARM_ADDRESS = { address: '10.0.2.15', prefixLength: 24 };
const WARM_ENDPOINT: BuiltinEndpoint = {
  kind: 'builtin',
  ipv4: { subnet: '10.0.2.0/24', gateway: '10.0.2.2', dns: '10.0.2.3', guest: WARM_ADDRESS.address },
  forwards: [],
  restricted: true,
};

/** Runs, and has done once what pods begin with. On rejection nothing remains. */
export async function makeClone(
  services: MakerServices,
  store: TemplateStore,
  template: StoredTemplate,
  image: GuestImage,
  call: CallOptions,
): Promise<PoolClone> {
  const id = `pool-${randomBytes(5).toString('hex')}`;
  const dirs = podDirectories(services.directories, id);
  const undo = new UndoStack();
  try {
    const lock = await lockPod(services.host, dirs.lock, id, 'pool', call.signal);
    undo.push('lock', () => lock.release({ remove: true }));
    undo.push(dirs.data, () => rm(dirs.data, { recursive: true, force: true }));
    undo.push(dirs.run, () => rm(dirs.run, { recursive: true, force: true }));
    await mkdir(dirs.data, { recursive: true, mode: 0o700 });
    await mkdir(dirs.run, { recursive: true, mode: 0o700 });
    // It may become a pod that outlives us.
    const detached = services.driver.capabilities.adopt;
    const place = { id, runDir: dirs.run, consoleLogPath: dirs.consoleLog, detached };
    const { directory, saved } = template;
    const spec = templateVmSpec(services, template, image, place, { role: 'clone', directory, saved, booted: true });
    const vm = await store.use(template, call, () => Vm.launch(services, spec, undo, call, async () => {}));
    await vm.explained(async () => {
      await renewGuest(vm, call);
      await warm(vm, services.driver.capabilities, template.nicSlots, call);
    });
    undo.clear();
    return { id, vm, template, image, runDir: dirs.run, consoleLogPath: dirs.consoleLog, lock };
  } catch (error) {
    throw await undo.fail('POD_CLEANUP_FAILED', 'a clone for the pool was not made, nor undone wholly', error);
  }
}

/** Under emulation code that ran once is translated: what a pod begins with is done before it is waited for. */
async function warm(
  { session, hypervisor }: Vm,
  capabilities: HypervisorCapabilities,
  nicSlots: number,
  call: CallOptions,
): Promise<void> {
  await session.startPod({ hostname: 'pool', dns: [], dnsSearch: [], dnsOptions: [] }, call);
  if (nicSlots > 0 && capabilities.hotplugNic && capabilities.nicEndpoints.includes('builtin')) {
    const nic: VmNic = { id: 'warm', mac: randomMac(), mtu: 1500, queues: 1, endpoint: WARM_ENDPOINT };
    await hypervisor.attachNic(nic, call);
    const { mac } = nic;
    const expectedName = 'eth0';
    await session.setupInterface(
      { mac, expectedName, mtu: 1500, addAddresses: [WARM_ADDRESS], removeAddresses: [] },
      call,
    );
    await session.addRoutes([{ destination: 'default', gateway: '10.0.2.2' }], call);
    if (session.features.readNetwork) await session.readNetwork(call);
    await session.deleteInterface({ mac, expectedName }, call);
    await hypervisor.detachNic(nic.id, call);
  }
  await runOnce(session, call);
}

/** A guest without a shell is none the worse. */
async function runOnce(session: GuestSession, call: CallOptions): Promise<void> {
  const spec = { argv: ['/bin/sh', '-c', ':'], env: {}, workingDirectory: '/', terminal: false };
  const process = await session.exec(spec, call).catch((error: unknown) => {
    if (hasCode(error, 'AGENT_EXEC_FAILED')) return undefined;
    throw error;
  });
  if (!process) return;
  process.stdin.end();
  process.stdout.resume();
  process.stderr.resume();
  // Without an answer the whole clone goes.
  await raceSignal(process.exited, call.signal, 'first command in a clone');
}

/** It becomes a pod's, whose record names its VM by now: what tells of the pool goes. */
export async function handOver({ consoleLogPath, lock }: PoolClone, podConsoleLogPath: string): Promise<void> {
  // The hypervisor goes on writing to it, and knows it by the path that it had.
  await rename(consoleLogPath, podConsoleLogPath).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await symlink(podConsoleLogPath, consoleLogPath);
  await lock.release({ remove: true });
}

/** Of one that is nobody's. Goes on past failures, and returns them. */
export async function endClone({ vm, runDir, consoleLogPath, lock }: PoolClone): Promise<unknown[]> {
  const undo = new UndoStack();
  undo.pushWhenClean('lock', () => lock.release({ remove: true }));
  undo.pushWhenClean('console', () => rm(dirname(consoleLogPath), { recursive: true, force: true }));
  undo.pushWhenClean(runDir, () => rm(runDir, { recursive: true, force: true }));
  undo.push('virtual machine', (call) => vm.kill(call));
  const errors = await undo.unwind();
  // What is left of it is garbage from now on.
  if (errors.length > 0) await lock.release();
  return errors;
}
