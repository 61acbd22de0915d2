import type { PortMapping } from '../src/core/network.js';
import type { Contender, Rival, Scenario } from './harness/scenario.js';
import { settle, timed } from './harness/time.js';
import { nicTimes, ourBackend, PUBLISHED } from './support/backend.js';
import { cni } from './support/cni.js';
import { run } from './support/commands.js';
import { FloorProgram } from './support/floor.js';
import { TempDir } from './support/temp-dir.js';

const GUEST = '192.168.123.200';
type Rule = readonly [table: string, ...words: string[]];
const RULES: readonly Rule[] = [
  ['nat', 'PREROUTING', '-p', 'tcp', '--dport', '8090', '-j', 'DNAT', '--to-destination', `${GUEST}:80`],
  ['filter', 'FORWARD', '-d', GUEST, '-o', 'hyper0', '-p', 'tcp', '--dport', '80', '-j', 'ACCEPT'],
];
/** As most scripts have it for each port; ours has one rule for all ports of a network, made with that. */
const HAIRPIN: Rule = [
  'nat',
  ...['POSTROUTING', '-s', '192.168.123.0/24', '-d', GUEST, '-p', 'tcp', '--dport', '80', '-j', 'MASQUERADE'],
];

/** The same device, and rules of the same port. */
function commands(rules: readonly Rule[], name: string): Rival & Contender {
  const each = (what: string) => {
    for (const [table, ...rule] of rules) run('iptables', '-t', table, what, ...rule);
  };
  return {
    name,
    role: 'peer',
    target: { timesBetter: 20 },
    async run() {
      await settle();
      const time = await timed(() => {
        run('ip', 'tuntap', 'add', 'bench0', 'mode', 'tap', 'vnet_hdr');
        run('ip', 'link', 'set', 'bench0', 'master', 'hyper0');
        run('ip', 'link', 'set', 'bench0', 'up');
        each('-A');
      });
      each('-D');
      run('ip', 'link', 'delete', 'bench0');
      return time;
    },
  };
}

/** A tap, and one message that makes it a port of the bridge. */
function floorRival(floor: FloorProgram | string): Rival {
  const common = { name: 'C program, the device alone', role: 'floor', target: { atMost: 2 } } as const;
  if (typeof floor === 'string') return { ...common, missing: floor };
  return {
    ...common,
    async run() {
      await settle();
      return floor.run();
    },
  };
}

/** With its address: of all the others only CNI allocates one. */
async function* whole(
  name: string,
  directory: string,
  published: boolean,
  ports: readonly PortMapping[],
  rounds: number,
) {
  const bench = await ourBackend(directory);
  try {
    yield {
      title: `${published ? 'one NIC with a published port' : 'one NIC'}, with its address; ${name}`,
      unit: 'ms' as const,
      rounds,
      ours: {
        name: 'hyperplug',
        async run() {
          const { allocationMs, attachmentMs } = await nicTimes(bench, ports);
          return allocationMs + attachmentMs;
        },
      },
      against: [cni(directory, published, { timesBetter: 50 })],
    };
  } finally {
    await bench.stop();
  }
}

export default {
  shows:
    'The host side of one NIC, made ready to carry packets (tap, bridge, up; address; rules of a published port), against the commands of a script, the CNI plugins, and a C program that does no more than it must.',
  usage: '[ROUNDS]',
  place: 'own',
  programs: ['iptables'],
  timeoutMs: 170_000,
  async *comparisons({ numbers }) {
    const [rounds = 0] = numbers(20);
    using onDisk = new TempDir();
    using inMemory = new TempDir('/dev/shm');
    for (const published of [false, true]) {
      const ports = published ? [PUBLISHED] : [];
      const bench = await ourBackend(onDisk.path);
      const floor = FloorProgram.start('host-nic', onDisk.path, ['hyper0']);
      try {
        yield {
          title: published ? 'one NIC with a published port, without its address' : 'one NIC, without its address',
          unit: 'ms',
          rounds,
          ours: { name: 'hyperplug', run: async () => (await nicTimes(bench, ports)).attachmentMs },
          against: published
            ? [
                commands(RULES, 'ip × 3, iptables × 2: a hairpin rule is there for all ports'),
                commands([...RULES, HAIRPIN], 'ip × 3, iptables × 3: a hairpin rule for the port'),
              ]
            : [commands([], 'ip × 3'), floorRival(floor)],
        };
      } finally {
        if (typeof floor !== 'string') floor.stop();
        await bench.stop();
      }
      yield* whole('state of both in memory', inMemory.path, published, ports, rounds);
      // Ours waits for the disk, by default; host-local does not.
      yield* whole('state of both on the disk', onDisk.path, published, ports, rounds);
    }
  },
} satisfies Scenario;
