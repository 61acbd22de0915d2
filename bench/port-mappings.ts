import type { PublishedPort } from '../src/core/firewall.js';
import type { PortMapping } from '../src/core/network.js';
import type { PlannedRule } from '../src/plugins/iptables/network-rules.js';
import { portRules } from '../src/plugins/iptables/port-rules.js';
import { ruleText } from '../src/plugins/iptables/rule-text.js';
import { callFor } from '../test/support/netlink-backend.js';
import type { Comparison, Rival, Scenario, Target } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { ourBackend } from './support/backend.js';
import { restore, run } from './support/commands.js';
import { TempDir } from './support/temp-dir.js';

const GUEST = '192.168.123.200';

const mappings = (count: number, first: number): PortMapping[] =>
  Array.from({ length: count }, (_, index) => ({
    protocol: 'tcp',
    hostAddress: '0.0.0.0',
    hostPort: first + index,
    guestPort: 1 + index,
    count: 1,
  }));

const rulesOf = (count: number): PlannedRule[] =>
  mappings(count, 30_000).flatMap((mapping) => {
    const id = `bench/n/tcp/0.0.0.0/${mapping.hostPort}`;
    const port: PublishedPort = { id, network: 'bench', mapping, guestAddress: GUEST };
    return portRules(port, 'hyper0');
  });

const script = (rules: readonly PlannedRule[], what: 'A' | 'D') =>
  (['nat', 'filter'] as const)
    .map((table) => {
      const lines = rules.filter((rule) => rule.table === table).map(({ chain, words }) => ruleText(chain, words));
      return [`*${table}`, ...lines.map((line) => line.replace('-A', `-${what}`)), 'COMMIT', ''].join('\n');
    })
    .join('');

function processes(name: string, rules: readonly PlannedRule[], target: Target): Rival {
  return {
    name,
    role: 'peer',
    target,
    async run() {
      const time = await timed(() => {
        for (const { table, chain, words } of rules) run('iptables', '-t', table, '-A', chain, ...words);
      });
      restore(script(rules, 'D'));
      return time;
    },
  };
}

function atOnce(rules: readonly PlannedRule[]): Rival {
  return {
    name: 'iptables-restore, one for all',
    role: 'floor',
    async run() {
      const input = script(rules, 'A');
      const time = await timed(() => restore(input));
      restore(script(rules, 'D'));
      return time;
    },
  };
}

/** Host ports held and rules made, of a NIC that is there. */
async function* withCount(count: number, rounds: number): AsyncGenerator<Comparison, void> {
  using directory = new TempDir();
  const bench = await ourBackend(directory.path);
  const { backend } = bench;
  try {
    const request = { network: 'default', podId: 'p', nicId: 'n', addresses: [] };
    const lease = await backend.allocateAddress(request, callFor());
    const common = { podId: 'p', nicId: 'n', mac: '02:00:00:00:00:01', mtu: lease.mtu, queues: 1, lease } as const;
    const nic = await backend.attach({ ...common, ports: [], endpoint: 'tap-fd' }, callFor());
    const ports = mappings(count, 10_000);
    const all = rulesOf(count);
    const dnat = all.filter(({ chain, table }) => chain === 'HYPER' && table === 'nat');
    const target = { timesBetter: count === 1000 ? 100 : 1 };
    yield {
      title: `${count} port ${count === 1 ? 'mapping' : 'mappings'}`,
      unit: 'ms',
      rounds,
      warmUp: count < 1000,
      ours: {
        name: 'hyperplug',
        async run() {
          const time = await timed(() => backend.publish(nic.record, lease, ports, callFor()));
          await backend.unpublish(nic.record, ports, callFor());
          return time;
        },
      },
      against: [
        processes('iptables, a process for each of two rules', all, target),
        processes('iptables, a process for each DNAT alone', dnat, target),
        atOnce(all),
      ],
    };
    await backend.detach(nic.record, callFor());
    await nic.handedOver();
  } finally {
    await bench.stop();
  }
}

export default {
  shows:
    'Port mappings of a running NIC, host ports held and rules made, against one iptables process for each rule, one for each mapping alone, and one iptables-restore for all.',
  usage: '[ROUNDS [COUNT…]]',
  place: 'own',
  programs: ['iptables', 'iptables-restore'],
  timeoutMs: 280_000,
  async *comparisons({ numbers, args }) {
    const [rounds = 0, ...counts] = args.length > 1 ? numbers() : numbers(2, 1, 100, 1000);
    for (const count of counts) yield* withCount(count, rounds);
  },
} satisfies Scenario;
