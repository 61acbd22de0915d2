import { close } from 'node:fs';
import type { HostNic, PortMapping } from '../src/core/network.js';
import { tapGroup } from '../src/plugins/netlink/names.js';
import { Rtnl } from '../src/plugins/netlink/rtnl.js';
import { type Bench, callFor, networkSpec, startBackend } from '../test/support/netlink-backend.js';
import { TestNamespace } from '../test/support/netns.js';
import type { Scenario } from './harness/scenario.js';
import { settle, timed } from './harness/time.js';
import { TempDir } from './support/temp-dir.js';

/** A bridge takes 1023 ports; what is measured needs one. */
const MOST = 1022;
const TAKEN_AT_ONCE = 16;
const EARLY_LEASES = 25;

const published = (hostPort: number): PortMapping[] => [
  { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort, guestPort: 80, count: 1 },
];

/** A bridge with so many NICs, each a tap that stands for a VM's, with an address and a published port. */
class Crowd {
  readonly #namespace = new TestNamespace();
  readonly #directory = new TempDir();
  readonly #held: HostNic[] = [];
  #bench: Bench | undefined;
  #serial = 0;

  async start(): Promise<void> {
    const namespace = { path: this.#namespace.path };
    this.#bench = await startBackend({ namespace, directory: this.#directory.path });
    const { backend } = this.#bench;
    await backend.init([networkSpec({ subnets: ['10.77.0.0/16'] })], callFor());
    // A state that has been written often is written by a thread of its own: so are all of them here.
    const [podId, nicId] = ['early', 'n'];
    for (let times = 0; times < EARLY_LEASES; times++) {
      const lease = await backend.allocateAddress({ network: 'default', podId, nicId, addresses: [] }, callFor());
      await backend.releaseAddress(lease, callFor());
    }
  }

  async grow(count: number): Promise<void> {
    while (this.#held.length < count) {
      const some = Math.min(TAKEN_AT_ONCE, count - this.#held.length);
      this.#held.push(...(await Promise.all(Array.from({ length: some }, () => this.#add()))));
    }
  }

  /** Milliseconds: one more, and away with it again. */
  async oneMore(): Promise<{ readonly add: number; readonly remove: number }> {
    await settle();
    let nic: HostNic | undefined;
    const add = await timed(async () => {
      nic = await this.#add();
    });
    await settle();
    const remove = await timed(async () => {
      if (nic) await this.#remove(nic);
    });
    return { add, remove };
  }

  async #add(): Promise<HostNic> {
    const backend = this.#started.backend;
    const serial = this.#serial++;
    const podId = `crowd-${serial}`;
    const lease = await backend.allocateAddress({ network: 'default', podId, nicId: 'n', addresses: [] }, callFor());
    const ports = published(10_000 + (serial % 50_000));
    const common = { podId, nicId: 'n', mac: '02:00:00:00:00:01', mtu: lease.mtu, queues: 1, lease } as const;
    return backend.attach({ ...common, ports, endpoint: 'tap-fd' }, callFor());
  }

  async #remove(nic: HostNic): Promise<void> {
    const { backend } = this.#started;
    const { network, podId, nicId } = nic.record;
    await backend.detach(nic.record, callFor());
    await backend.releaseAddress({ network, podId, nicId, addresses: [], gateways: [], dns: [], mtu: 0 }, callFor());
  }

  get #started(): Bench {
    if (!this.#bench) throw new Error('not started');
    return this.#bench;
  }

  /** In bulk: closing taps one by one waits for the kernel at each. */
  async stop(): Promise<void> {
    const rtnl = new Rtnl(this.#namespace.path);
    await rtnl.deleteGroup(tapGroup('default'), callFor());
    await rtnl.close();
    for (const { endpoint } of this.#held.splice(0)) {
      if (endpoint.kind === 'tap-fd') for (const fd of endpoint.fds) close(fd, () => {});
    }
    await this.#bench?.stop();
    this.#namespace.delete();
    this.#directory[Symbol.dispose]();
  }
}

export default {
  shows:
    'One more NIC with a published port, and its removal, on a bridge that has 1, 100 or 1000 already: real bridges, taps, rules and records, and no VM.',
  usage: '[ROUNDS [NICS…]]',
  place: 'own',
  programs: ['iptables'],
  timeoutMs: 175_000,
  async *comparisons({ numbers, args }) {
    const [rounds = 0, ...sizes] = args.length > 1 ? numbers() : numbers(12, 1, 100, 1000);
    if (Math.max(...sizes) > MOST) throw new Error(`NICS: expected at most ${MOST}`);
    const crowds = sizes.map(() => new Crowd());
    try {
      for (const [index, crowd] of crowds.entries()) {
        await crowd.start();
        await crowd.grow(sizes[index] as number);
      }
      const taken = crowds.map(() => ({ add: [] as number[], remove: [] as number[] }));
      for (let round = -1; round < rounds; round++) {
        for (const [index, crowd] of crowds.entries()) {
          const { add, remove } = await crowd.oneMore();
          if (round < 0) continue;
          taken[index]?.add.push(add);
          taken[index]?.remove.push(remove);
        }
      }
      const [least = 0] = sizes;
      for (const what of ['add', 'remove'] as const) {
        for (const [index, size] of sizes.entries()) {
          if (index === 0) continue;
          yield {
            title: `${what === 'add' ? 'one more NIC' : 'one NIC fewer'}, ${size} there`,
            unit: 'ms',
            rounds,
            ours: { name: `with ${size}`, samples: taken[index]?.[what] ?? [] },
            against: [
              { name: `with ${least}`, role: 'reference', target: { atMost: 1.5 }, samples: taken[0]?.[what] ?? [] },
            ],
          };
        }
      }
    } finally {
      for (const crowd of crowds) await crowd.stop();
    }
  },
} satisfies Scenario;
