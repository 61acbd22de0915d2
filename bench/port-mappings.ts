/**
 * 1, 100 and 1000 port mappings of a running NIC, host ports held and rules made, against the same rules by one iptables
 * process each (a mapping has three rules: DNAT, ACCEPT, and MASQUERADE for pods of the same network), against one process
 * for each mapping's DNAT alone, and against one iptables-restore for all. In one network namespace that this process is in.
 * As root: `node dist/bench/port-mappings.js [ROUNDS] [COUNT…]`
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PublishedPort } from '../src/core/firewall.js';
import type { PortMapping } from '../src/core/network.js';
import type { PlannedRule } from '../src/plugins/iptables/network-rules.js';
import { portRules } from '../src/plugins/iptables/port-rules.js';
import { ruleText } from '../src/plugins/iptables/rule-text.js';
import { callFor, networkSpec, startBackend } from '../test/support/netlink-backend.js';
import { type Contender, compare, inOwnNamespace, timed } from './harness.js';

const [rounds = 3, ...given] = process.argv.slice(2).map(Number);
const counts = given.length > 0 ? given : [1, 100, 1000];
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
    return portRules(port, 'hyper0', '192.168.123.0/24');
  });

const script = (rules: readonly PlannedRule[], what: 'A' | 'D') =>
  (['nat', 'filter'] as const)
    .map((table) => {
      const lines = rules.filter((rule) => rule.table === table).map(({ chain, words }) => ruleText(chain, words));
      return [`*${table}`, ...lines.map((line) => line.replace('-A', `-${what}`)), 'COMMIT', ''].join('\n');
    })
    .join('');

const restore = (input: string) => execFileSync('iptables-restore', ['--noflush'], { input });

function processes(name: string, rules: readonly PlannedRule[]): Contender {
  return {
    name,
    async run() {
      const time = await timed(() => {
        for (const { table, chain, words } of rules) execFileSync('iptables', ['-t', table, '-A', chain, ...words]);
      });
      restore(script(rules, 'D'));
      return time;
    },
  };
}

async function scenario(count: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'hyperplug-bench-'));
  const bench = await startBackend({ namespace: { path: undefined }, directory });
  const { backend } = bench;
  try {
    await backend.init([networkSpec()], callFor());
    const request = { network: 'default', podId: 'p', nicId: 'n', addresses: [] };
    const lease = await backend.allocateAddress(request, callFor());
    const common = { podId: 'p', nicId: 'n', mac: '02:00:00:00:00:01', mtu: lease.mtu, queues: 1, lease } as const;
    const nic = await backend.attach({ ...common, ports: [], endpoint: 'tap-fd' }, callFor());
    const ports = mappings(count, 10_000);
    const ours: Contender = {
      name: 'hyperplug',
      async run() {
        const time = await timed(() => backend.publish(nic.record, lease, ports, callFor()));
        await backend.unpublish(nic.record, ports, callFor());
        return time;
      },
    };
    const all = rulesOf(count);
    const dnat = all.filter(({ chain }) => chain === 'HYPER').filter(({ table }) => table === 'nat');
    const atOnce: Contender = {
      name: 'iptables-restore, once',
      async run() {
        const input = script(all, 'A');
        const time = await timed(() => restore(input));
        restore(script(all, 'D'));
        return time;
      },
    };
    const each = [processes('iptables × 3 each', all), processes('iptables × 1 each, DNAT alone', dnat), atOnce];
    await compare(`${count} port mappings`, [ours, ...each], rounds);
    await backend.detach(nic.record, callFor());
    await nic.handedOver();
  } finally {
    await bench.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

if (await inOwnNamespace(import.meta.url)) for (const count of counts) await scenario(count);
