import assert from 'node:assert/strict';
import { deepFreeze } from '../../../core/json.js';
import { randomMac } from '../../../core/mac.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  NetworkBackend,
  NetworkSpec,
  NicPlan,
  PortMapping,
} from '../../../core/network.js';
import { descriptorsSince } from '../../kit/leftovers.js';
import { parseSubnet, type Subnet } from '../../kit/subnets.js';
import { type Suite, suiteOf, type TestContext } from '../../kit/suite.js';
import { guarded } from '../../kit/timeouts.js';
import type { NetworkContract } from './types.js';

export interface NetworkContext extends TestContext {
  readonly backend: NetworkBackend;
  /** Another manager of the same host. */
  another(): Promise<NetworkBackend>;
  readonly network: NetworkSpec;
  readonly subnets: readonly Subnet[];
  /** The backend, its networks made; they are torn down in the end. */
  ready(): Promise<NetworkBackend>;
  request(nic: string, addresses?: readonly string[], network?: string): AddressRequest;
  /** Released in the end. */
  lease(nic: string, addresses?: readonly string[]): Promise<AddressLease>;
  plan(lease: AddressLease, parts?: Partial<NicPlan>): NicPlan;
  /** Detached in the end. */
  attach(plan: NicPlan): Promise<HostNic>;
  port(hostPort: number, parts?: Partial<PortMapping>): PortMapping;
}

export type NetworkSuite = Suite<NetworkContext>;

export function networkSuite(contract: NetworkContract): NetworkSuite {
  const { capabilities, host = {}, networks } = contract;
  const [network] = networks;
  const all = capabilities.multipleNetworks ? networks : [network];
  return suiteOf<NetworkContext>({
    runner: contract.runner,
    timeouts: contract.timeouts,
    async setUp(base) {
      const limitMs = base.timeouts.callMs + base.timeouts.graceMs;
      const create = async () => {
        const backend = await contract.create();
        base.defer(() => contract.dispose?.(backend));
        const bound = guarded(backend, limitMs, 'backend');
        await bound.start?.(base.options());
        base.defer(() => bound.stop?.(base.options()));
        return bound;
      };
      const backend = await create();
      const context: NetworkContext = {
        ...base,
        backend,
        another: create,
        network,
        subnets: network.subnets.map((text) => parseSubnet(text) as Subnet),
        async ready() {
          base.defer(() => tearDown(context, all));
          await backend.init(all, base.options());
          return backend;
        },
        // Each NIC is a pod's only one, so that backends with a network for each pod can be asked the same.
        request: (nic, addresses = [], name = network.name) => ({
          network: name,
          podId: `contract-${nic}`,
          nicId: nic,
          addresses,
        }),
        async lease(nic, addresses) {
          const lease = await backend.allocateAddress(context.request(nic, addresses), base.options());
          base.defer(() => backend.releaseAddress(lease, base.options()));
          return lease;
        },
        plan: (lease, parts) =>
          deepFreeze({
            podId: lease.podId,
            nicId: lease.nicId,
            mac: randomMac(),
            mtu: lease.mtu,
            queues: 1,
            lease,
            ports: [],
            endpoint: capabilities.endpoints[0] as NicPlan['endpoint'],
            ...parts,
          }),
        async attach(plan) {
          const nic = await backend.attach(plan, base.options());
          base.defer(() => backend.detach(nic.record, base.options()));
          base.defer(() => nic.handedOver());
          return nic;
        },
        port: (hostPort, parts = {}) => ({
          protocol: capabilities.publish[0] ?? 'tcp',
          hostAddress: capabilities.families.includes(4) ? '127.0.0.1' : '::1',
          hostPort,
          guestPort: 80,
          count: 1,
          ...parts,
        }),
      };
      return context;
    },
    leftovers: async () => (await host.leftovers?.()) ?? [],
    reap: async () => host.reap?.(),
  });
}

async function tearDown({ backend, options }: NetworkContext, networks: readonly NetworkSpec[]): Promise<void> {
  const known = new Set((await backend.status(options())).map(({ name }) => name));
  for (const { name } of networks) if (known.has(name)) await backend.teardown(name, options());
}

/** Asserts that after `body` the same descriptors are open, and the host has the same of NICs. */
export async function nothingRemains(contract: NetworkContract, body: () => Promise<void>): Promise<void> {
  const descriptors = await descriptorsSince((target) => target.startsWith('/dev/'));
  const before = [...((await contract.host?.nicLeftovers?.()) ?? [])];
  await body();
  assert.deepEqual([...((await contract.host?.nicLeftovers?.()) ?? [])], before, 'something of the NIC remained');
  assert.deepEqual([...(await descriptors())], [], 'descriptors remained open');
}
