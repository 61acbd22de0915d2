import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HypervisorDriver, HypervisorVm, PortForward, VmNic, VmSpec } from '../../../core/hypervisor.js';
import { deepFreeze } from '../../../core/json.js';
import { randomMac } from '../../../core/mac.js';
import { identifyProcess, sameProcess } from '../../../host/process.js';
import {
  descriptorsSince,
  filesBelow,
  type LeftoversCheck,
  processesMentioning,
  unixSockets,
} from '../../kit/leftovers.js';
import { type Suite, suiteOf, type TestContext } from '../../kit/suite.js';
import { eventually, guarded } from '../../kit/timeouts.js';
import type { Bystander, HypervisorContract } from './types.js';

export interface HypervisorContext extends TestContext {
  readonly id: string;
  readonly runDir: string;
  readonly driver: HypervisorDriver;
  /** Another manager of the same host. */
  another(): Promise<HypervisorDriver>;
  spec(parts?: Partial<VmSpec>): VmSpec;
  /** A VM that is killed when the test is over; NIC slots for three. */
  launch(parts?: Partial<VmSpec>): Promise<HypervisorVm>;
  /** The same, when its guest can do what it is said to. */
  launchReady(parts?: Partial<VmSpec>): Promise<HypervisorVm>;
  /** Bounded calls, and an end with the test. */
  track(vm: HypervisorVm): HypervisorVm;
  /** A complete NIC with an endpoint that attaches. */
  nic(id: string, parts?: Partial<VmNic>): Promise<VmNic>;
  /** A NIC of the hypervisor's own network with these forwards. */
  builtinNic(id: string, forwards: readonly PortForward[]): VmNic;
  /** As the driver needs it before detachNic. */
  beforeDetach(vm: HypervisorVm, nic: VmNic): Promise<void>;
  bystander(): Promise<Bystander>;
}

export type HypervisorSuite = Suite<HypervisorContext>;

export const SLOTS = 3;
let serial = 0;

export function hypervisorSuite(contract: HypervisorContract): HypervisorSuite {
  const openedSince = new WeakMap<TestContext, LeftoversCheck>();
  return suiteOf<HypervisorContext>({
    runner: contract.runner,
    timeouts: contract.timeouts,
    async setUp(base) {
      const openDescriptors = await descriptorsSince();
      const context = await newContext(contract, base);
      openedSince.set(context, openDescriptors);
      return context;
    },
    async leftovers(context) {
      const { id, runDir } = context;
      const found = await Promise.all([
        filesBelow(runDir),
        unixSockets(runDir),
        processesMentioning(id),
        contract.host?.leftovers?.(id) ?? [],
      ]);
      const descriptors = openedSince.get(context) as LeftoversCheck;
      return [...found.flat(), ...(await emptyInTheEnd(descriptors, context.timeouts.graceMs))];
    },
    reap: async ({ id }) => contract.host?.reap?.(id),
  });
}

/** A socket that was destroyed is closed a moment later. */
async function emptyInTheEnd(check: LeftoversCheck, timeoutMs: number): Promise<readonly string[]> {
  const closed = async () => (await check()).length === 0;
  await eventually(closed, timeoutMs, 'descriptors closed').catch(() => {});
  return check();
}

async function newContext(contract: HypervisorContract, base: TestContext): Promise<HypervisorContext> {
  const { guest = {} } = contract;
  const { callMs, graceMs } = base.timeouts;
  const root = await mkdtemp(join(contract.directory ?? tmpdir(), 'hpc-'));
  base.defer(() => rm(root, { recursive: true, force: true }));
  const runDir = join(root, 'run');
  await mkdir(runDir, { mode: 0o700 });
  // Drivers may run the hypervisor as another user; it gets no further than to its own directory.
  await chmod(root, 0o711);
  const id = `contract-${process.pid}-${++serial}`;
  const bound = <T extends object>(target: T, label: string) => guarded(target, callMs + graceMs, label);
  const create = async () => {
    const driver = await contract.create();
    base.defer(() => contract.dispose?.(driver));
    return endingAll(bound(driver, 'driver'), base);
  };
  const driver = await create();
  let latest: HypervisorVm | undefined;
  const track = (vm: HypervisorVm) => {
    const tracked = bound(vm, 'vm');
    latest = tracked;
    base.defer(() => endQuietly(tracked, base));
    return tracked;
  };
  const spec = (parts: Partial<VmSpec> = {}): VmSpec =>
    deepFreeze({
      ...contract.spec,
      id,
      nics: [],
      disks: [],
      shares: [],
      hotplugNicSlots: driver.capabilities.hotplugNic ? Math.min(SLOTS, driver.capabilities.maxNics) : 0,
      runDir,
      consoleLogPath: join(root, 'console.log'),
      detached: false,
      ...parts,
    });
  const context: HypervisorContext = {
    ...base,
    id,
    runDir,
    driver,
    another: create,
    spec,
    track,
    launch: async (parts) => track(await driver.launch(spec(parts), base.options())),
    async launchReady(parts) {
      const vm = await context.launch(parts);
      await guest.ready?.(vm, base.options());
      return vm;
    },
    async nic(nicId, parts) {
      const lease = contract.endpoint
        ? await contract.endpoint(nicId, latest)
        : { endpoint: builtinEndpoint([]), release: undefined };
      base.defer(() => lease.release?.());
      return deepFreeze({ id: nicId, mac: randomMac(), mtu: 1500, queues: 1, endpoint: lease.endpoint, ...parts });
    },
    builtinNic: (nicId, forwards) =>
      deepFreeze({ id: nicId, mac: randomMac(), mtu: 1500, queues: 1, endpoint: builtinEndpoint(forwards) }),
    async beforeDetach(vm, nic) {
      if (driver.capabilities.detachNeedsGuest === 'link-down') await guest.linkDown?.(vm, nic);
    },
    async bystander() {
      const bystander = await (contract.host?.bystander ?? sleepingProcess)();
      base.defer(() => bystander.end());
      return bystander;
    },
  };
  return context;
}

/** The same driver, whose VMs end with the test: one that launches what it must refuse shall not leave it running. */
function endingAll(driver: HypervisorDriver, base: TestContext): HypervisorDriver {
  const launch: HypervisorDriver['launch'] = async (spec, options) => {
    const vm = await driver.launch(spec, options);
    base.defer(() => endQuietly(vm, base));
    return vm;
  };
  return new Proxy(driver, { get: (target, key) => (key === 'launch' ? launch : Reflect.get(target, key)) });
}

/** The test may have released the VM, or seen it exit. */
async function endQuietly(vm: HypervisorVm, base: TestContext): Promise<void> {
  if (vm.state !== 'exited') await vm.kill(base.options()).catch(() => {});
}

function builtinEndpoint(forwards: readonly PortForward[]): VmNic['endpoint'] {
  const ipv4 = { subnet: '10.0.2.0/24', gateway: '10.0.2.2', dns: '10.0.2.3', guest: '10.0.2.15' };
  return { kind: 'builtin', ipv4, forwards, restricted: false };
}

async function sleepingProcess(): Promise<Bystander> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await new Promise((resolve, reject) => child.once('spawn', () => resolve(undefined)).once('error', reject));
  const identity = identifyProcess(child.pid as number);
  if (!identity) throw new Error('the bystander has ended');
  return {
    identity,
    alive: () => sameProcess(identity),
    end: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once('exit', () => resolve());
        child.kill('SIGKILL');
      }),
  };
}

export const forwardOf = (hostPort: number): PortForward => ({
  protocol: 'tcp',
  hostAddress: '127.0.0.1',
  hostPort,
  guestAddress: '10.0.2.15',
  guestPort: 80,
});
