import type { CallOptions } from '../../../src/core/calls.js';
import type {
  AddressLease,
  AddressRequest,
  HostNic,
  HostNicRecord,
  InitOptions,
  NetworkSpec,
  NicPlan,
  PortMapping,
} from '../../../src/core/network.js';
import { FakeMachine, FakeNetwork } from '../../../src/testing/index.js';
import type { Defect } from '../../support/seeded-defects.js';
import type { FakeNetworkSuite } from '../fake-network.js';

type Parts = Pick<FakeNetworkSuite, 'backend' | 'capabilities'>;

const FAILED_ATTACH = 'attach() that fails on its way leaves nothing, and a retry works';
const TAKEN_PORT =
  'a port that another program has is refused with NET_PORT_IN_USE, leaves nothing, and works once it is free';
const NIC_PORT = 'a port that another NIC has is refused with NET_PORT_IN_USE; that NIC keeps it until it is detached';
const DETACHED = 'detach() removes what attach() made, is idempotent, and works by record from another manager';
const REFUSED_ADDRESS = 'an address that cannot be had is a clear error, never another address';
const LOST = 'no address is lost: more leases come and go than the network has addresses';
const AGAIN = 'an address that was released can be had again; releasing is idempotent';
const UNKNOWN = 'allocateAddress() in a network that is not configured rejects with NET_NOT_FOUND';
const RANGE = 'a builtin endpoint has a range of ports as one forward each: port p to p + d';

const PUBLISHED =
  'publish() takes the ports, a second time changes nothing, and unpublish() gives them back, however often';
const HALF_PUBLISHED = 'publish() of ports of which one is taken rejects with NET_PORT_IN_USE and publishes none';
const UNPUBLISHED = 'unpublish() takes away the ports it is given and no other';

export const NETWORK_DEFECTS: readonly Defect<Parts>[] = [
  {
    what: 'does not tell of addresses whose device is gone or never came',
    parts: {
      backend: class extends FakeNetwork {
        override async traces(options: CallOptions) {
          return (await super.traces(options)).map((trace) => ({ ...trace, addresses: [] }));
        }
      },
    },
    failing: ['traces() tells another manager all that a NIC has; detach() and release by its ids remove it'],
  },
  {
    what: 'never frees an address: what it releases it cannot parse',
    parts: {
      backend: class extends FakeNetwork {
        override async releaseAddress() {}
      },
    },
    failing: [
      LOST,
      AGAIN,
      'a lease without addresses stands for whatever its NIC holds',
      'an address that another NIC has is refused with IPAM_ADDRESS_TAKEN, and given once it is released',
    ],
  },
  {
    what: 'fails at releasing twice',
    parts: {
      backend: class extends FakeNetwork {
        readonly #released = new Set<string>();
        override async releaseAddress(lease: AddressLease, options: CallOptions) {
          const key = JSON.stringify(lease);
          if (this.#released.has(key)) throw new Error('not allocated');
          this.#released.add(key);
          await super.releaseAddress(lease, options);
        }
      },
    },
    failing: [AGAIN, 'releaseAddress() twice does not take the address from who has it now'],
  },
  {
    what: 'releases an address whoever has it now',
    parts: {
      backend: class extends FakeNetwork {
        override async releaseAddress(lease: AddressLease) {
          const { held } = this.host.leases;
          for (const { address } of lease.addresses) {
            const at = held.findIndex((each) => each.address === address);
            if (at >= 0) held.splice(at, 1);
          }
        }
      },
    },
    failing: ['releaseAddress() twice does not take the address from who has it now'],
  },
  {
    what: 'takes an invalid address for any address',
    parts: {
      backend: class extends FakeNetwork {
        override allocateAddress(request: AddressRequest, options: CallOptions) {
          const addresses = request.addresses.filter((text) => /^[0-9a-f:.]+$/.test(text));
          return super.allocateAddress({ ...request, addresses }, options);
        }
      },
    },
    failing: [REFUSED_ADDRESS],
  },
  {
    what: 'hands out the gateway by request',
    parts: {
      backend: class extends FakeNetwork {
        override async allocateAddress(request: AddressRequest, options: CallOptions) {
          try {
            return await super.allocateAddress(request, options);
          } catch (error) {
            if (!String(error).includes('gateway')) throw error;
            const lease = await super.allocateAddress({ ...request, addresses: [] }, options);
            return { ...lease, addresses: request.addresses.map((address) => ({ address, prefixLength: 24 })) };
          }
        }
      },
    },
    failing: [REFUSED_ADDRESS],
  },
  {
    what: 'has addresses of its own, that other managers know nothing of',
    parts: {
      backend: class extends FakeNetwork {
        readonly #own = new FakeNetwork({ machine: new FakeMachine() });
        protected override get host() {
          return (this.#own as unknown as { host: FakeNetwork['host'] }).host;
        }
      },
    },
    failing: ['leases taken at once, by two managers, have addresses that differ', DETACHED],
  },
  {
    what: 'keeps the addresses that could be had of a request that was refused',
    parts: {
      backend: class extends FakeNetwork {
        protected override pick(network: Parameters<FakeNetwork['pick']>[0], request: AddressRequest) {
          return request.addresses
            .flatMap((address) => super.pick(network, { ...request, addresses: [address] }))
            .concat(request.addresses.length > 0 ? [] : super.pick(network, request));
        }
      },
    },
    failing: ['allocateAddress() that is refused allocates nothing, not even the address that could be had'],
  },
  {
    what: 'takes the first network for one that it does not know',
    parts: {
      backend: class extends FakeNetwork {
        protected override network(name: string) {
          return this.networks.get(name) ?? [...this.networks.values()][0] ?? super.network(name);
        }
      },
    },
    failing: [UNKNOWN, 'teardown() of a network that is not configured rejects with NET_NOT_FOUND'],
  },
  {
    what: 'leaves the tap of an attach that failed',
    parts: {
      backend: class extends FakeNetwork {
        protected override undoAttach(_tap: string | null, ports: Parameters<FakeNetwork['undoAttach']>[1]) {
          return super.undoAttach(null, ports);
        }
      },
    },
    failing: [FAILED_ATTACH, TAKEN_PORT],
  },
  {
    what: 'keeps the ports of an attach that failed',
    parts: {
      backend: class extends FakeNetwork {
        readonly #kept: unknown[] = [];
        protected override async undoAttach(tap: string | null, ports: Parameters<FakeNetwork['undoAttach']>[1]) {
          this.#kept.push(...ports.splice(0));
          await super.undoAttach(tap, []);
        }
        async stop() {
          await this.closePorts(this.#kept as Parameters<FakeNetwork['closePorts']>[0]);
        }
      },
    },
    failing: [FAILED_ATTACH, TAKEN_PORT],
  },
  {
    what: 'does not see that a port is taken',
    parts: {
      backend: class extends FakeNetwork {
        protected override async openPorts() {}
      },
    },
    failing: [TAKEN_PORT, NIC_PORT],
  },
  {
    what: 'removes nothing at detach',
    parts: {
      backend: class extends FakeNetwork {
        override async detach() {}
      },
    },
    failing: [DETACHED, 'detach() without handedOver() leaves no descriptor open', NIC_PORT],
  },
  {
    what: 'fails at detaching what is gone',
    parts: {
      backend: class extends FakeNetwork {
        override async detach(record: HostNicRecord, options: CallOptions) {
          if (!this.host.nics.has(`${record.podId}/${record.nicId}`)) throw new Error('no such device');
          await super.detach(record, options);
        }
      },
    },
    failing: [DETACHED],
  },
  {
    what: 'makes another kind of endpoint than was planned',
    parts: {
      backend: class extends FakeNetwork {
        override attach(plan: NicPlan, options: CallOptions): Promise<HostNic> {
          return super.attach({ ...plan, endpoint: 'tap-name' }, options);
        }
      },
    },
    failing: ['attach() makes an endpoint of the kind planned: builtin'],
  },
  {
    what: 'gives two NICs the same tap',
    parts: {
      backend: class extends FakeNetwork {
        protected override makeTap(plan: NicPlan): string {
          const { podId } = plan;
          const name = `tap-${podId.slice(0, 8)}`;
          this.machine.taps.set(name, { name, owner: podId, holder: undefined });
          return name;
        }
      },
    },
    failing: ['NICs attached at once have endpoints of their own'],
  },
  {
    what: 'maps every port of a range to its first',
    parts: {
      backend: class extends FakeNetwork {
        protected override portForwards(plan: NicPlan) {
          const [first] = super.portForwards(plan);
          return super.portForwards(plan).map((forward) => ({ ...forward, guestPort: first?.guestPort ?? 0 }));
        }
      },
    },
    failing: [RANGE],
  },
  {
    what: 'has records that JSON cannot hold',
    parts: {
      backend: class extends FakeNetwork {
        protected override record(record: HostNicRecord): HostNicRecord {
          return { ...record, data: { ...(record.data as object), fds: new Set([1]) } as never };
        }
      },
    },
    failing: [DETACHED, 'attach() makes an endpoint of the kind planned: tap-name'],
  },
  {
    what: 'leaves the bridge of an init that failed',
    parts: {
      backend: class extends FakeNetwork {
        protected override makeBridge(spec: NetworkSpec) {
          super.makeBridge(spec);
          return false;
        }
      },
    },
    failing: ['init() that fails on its way leaves nothing, and a retry works'],
  },
  {
    what: 'fails when the bridge is there already',
    parts: {
      backend: class extends FakeNetwork {
        protected override makeBridge(spec: NetworkSpec) {
          if (!super.makeBridge(spec)) throw new Error('File exists');
          return true;
        }
      },
    },
    failing: ['init() is idempotent: twice, at once, and by another manager'],
  },
  {
    what: 'reports no drift whatever happened',
    parts: {
      backend: class extends FakeNetwork {
        protected override drift() {
          return [];
        }
      },
    },
    failing: ['a network that was changed behind its back drifts, and init() brings it back'],
  },
  {
    what: 'removes nothing at teardown',
    parts: {
      backend: class extends FakeNetwork {
        override async teardown(name: string) {
          this.network(name);
        }
      },
    },
    failing: ['teardown() removes what init() made, is idempotent, and init() works again'],
  },
  {
    what: 'computes an MTU and throws it away',
    parts: {
      backend: class extends FakeNetwork {
        override async allocateAddress(request: AddressRequest, options: CallOptions): Promise<AddressLease> {
          return { ...(await super.allocateAddress(request, options)), mtu: 1500 };
        }
      },
    },
    failing: ['the MTU of the specification is that of status() and of every lease'],
  },
  {
    what: 'says that it published a port, and does not',
    parts: {
      backend: class extends FakeNetwork {
        override async publish() {}
      },
    },
    failing: [
      PUBLISHED,
      HALF_PUBLISHED,
      'publish() with a signal that has fired rejects with its reason and publishes nothing',
    ],
  },
  {
    what: 'keeps the ports that could be had of those that were refused',
    parts: {
      backend: class extends FakeNetwork {
        override async publish(...[nic, lease, ports, options]: Parameters<FakeNetwork['publish']>) {
          for (const port of ports) await super.publish(nic, lease, [port], options);
        }
      },
    },
    failing: [HALF_PUBLISHED],
  },
  {
    what: 'never gives a published port back',
    parts: {
      backend: class extends FakeNetwork {
        override async unpublish() {}
      },
    },
    failing: [PUBLISHED, UNPUBLISHED],
  },
  {
    what: 'unpublishes all ports of a NIC for one',
    parts: {
      backend: class extends FakeNetwork {
        override async unpublish(nic: HostNicRecord, _ports: readonly PortMapping[], options: CallOptions) {
          const all = this.host.nics.get(`${nic.podId}/${nic.nicId}`)?.ports ?? [];
          const mappings = all.map(({ forward }) => ({ ...forward, count: 1 }));
          await super.unpublish(nic, mappings, options);
        }
      },
    },
    failing: [UNPUBLISHED],
  },
  {
    what: 'makes all networks, whichever are asked for',
    parts: {
      backend: class extends FakeNetwork {
        override init(specs: readonly NetworkSpec[], { signal }: InitOptions) {
          return super.init(specs, { signal });
        }
      },
    },
    failing: ['init() of some makes those, and one that cannot be made is in nobody’s way unless it is asked for'],
  },
  {
    what: 'does what it does not declare',
    parts: {
      backend: class extends FakeNetwork {
        protected override refuse(): never {
          return undefined as never;
        }
      },
      capabilities: { isolation: false, staticAddress: false },
    },
    failing: [
      'init() of an isolated network is refused with NOT_SUPPORTED where isolation is not declared',
      'an address that is asked for is refused with NOT_SUPPORTED where staticAddress is not declared',
      'one port that leads to several is refused with NOT_SUPPORTED where publishToAny is not declared, and leaves nothing',
    ],
  },
];
