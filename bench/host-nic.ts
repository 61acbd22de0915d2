/**
 * The host side of one NIC, made ready to carry packets, in a network namespace of its own: by this backend, by the commands
 * a script would run, and by the CNI plugins of Debian's containernetworking-plugins where they are installed. The commands
 * allocate no address, so they are compared with the device alone; CNI has its host-local, so there ours allocates too
 * (durably). Each once as it is, once with one published tcp port. What is made is removed again, untimed. As root: `node dist/bench/host-nic.js [ROUNDS]`
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressLease, HostNic, PortMapping } from '../src/core/network.js';
import { callFor, networkSpec, startBackend } from '../test/support/netlink-backend.js';
import { TestNamespace } from '../test/support/netns.js';
import { type Contender, compare } from './harness.js';

const rounds = Number(process.argv[2] ?? 20);
const CNI = '/usr/lib/cni';
const PUBLISHED: PortMapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 };

/** What the run before has set off in the kernel (namespaces that go, RCU) is let go first. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 100));

const timed = async (body: () => Promise<unknown> | unknown): Promise<number> => {
  const started = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - started) / 1e6;
};

async function ours(
  namespace: TestNamespace,
  directory: string,
  ports: readonly PortMapping[],
): Promise<{ device: Contender; whole: Contender; stop(): Promise<void> }> {
  const bench = await startBackend({ namespace, directory });
  const { backend } = bench;
  await backend.init([networkSpec()], callFor());
  let serial = 0;
  const run = async (withAddress: boolean) => {
    const podId = `bench-${serial++}`;
    const request = { network: 'default', podId, nicId: 'n', addresses: [] };
    await settle();
    let lease: AddressLease | undefined;
    const allocation = await timed(async () => {
      lease = await backend.allocateAddress(request, callFor());
    });
    if (!lease) throw new Error('no lease');
    const mac = '02:00:00:00:00:01';
    const plan = { podId, nicId: 'n', mac, mtu: lease.mtu, queues: 1, lease, ports, endpoint: 'tap-fd' } as const;
    let nic: HostNic | undefined;
    const attachment = await timed(async () => {
      nic = await backend.attach(plan, callFor());
    });
    if (nic) await backend.detach(nic.record, callFor());
    await nic?.handedOver();
    await backend.releaseAddress(lease, callFor());
    return withAddress ? allocation + attachment : attachment;
  };
  return {
    device: { name: 'hyperplug, device', run: () => run(false) },
    whole: { name: 'hyperplug, address and device', run: () => run(true) },
    stop: () => bench.stop(),
  };
}

/** The same device, and the rules of the same port, in the same namespace. */
function commands(namespace: TestNamespace, published: boolean): Contender {
  const run = (...argv: string[]) => {
    execFileSync('ip', ['netns', 'exec', namespace.name, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const rules = [
    ['-t', 'nat', 'PREROUTING', '-p', 'tcp', '--dport', '8090', '-j', 'DNAT', '--to-destination', '192.168.123.200:80'],
    [
      '-t',
      'nat',
      'POSTROUTING',
      '-s',
      '192.168.123.0/24',
      '-d',
      '192.168.123.200',
      '-p',
      'tcp',
      '--dport',
      '80',
      '-j',
      'MASQUERADE',
    ],
    ['-t', 'filter', 'FORWARD', '-d', '192.168.123.200', '-o', 'hyper0', '-p', 'tcp', '--dport', '80', '-j', 'ACCEPT'],
  ];
  const each = (what: string) => {
    for (const [t = '', table = '', ...rule] of published ? rules : []) run('iptables', t, table, what, ...rule);
  };
  return {
    name: published ? 'ip × 3, iptables × 3' : 'ip × 3',
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

function cni(host: TestNamespace, directory: string, published: boolean): Contender {
  let serial = 0;
  return {
    name: published ? 'CNI bridge, host-local, portmap' : 'CNI bridge, host-local',
    async run() {
      const guest = new TestNamespace();
      const container = `bench${serial++}`;
      const network = { cniVersion: '0.4.0', name: 'bench' };
      const bridge = {
        ...network,
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: true,
        ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir: directory },
      };
      const call = (command: string, config: Record<string, unknown>) => {
        const env = {
          ...process.env,
          CNI_COMMAND: command,
          CNI_CONTAINERID: container,
          CNI_NETNS: guest.path,
          CNI_IFNAME: 'eth0',
          CNI_PATH: CNI,
        };
        const argv = ['netns', 'exec', host.name, `${CNI}/${config.type}`];
        const { status, stdout } = spawnSync('ip', argv, { input: JSON.stringify(config), env, encoding: 'utf8' });
        if (status !== 0) throw new Error(`${config.type} ${command}: ${stdout}`);
        return stdout;
      };
      const portmap = (prevResult: unknown) => ({
        ...network,
        type: 'portmap',
        runtimeConfig: { portMappings: [{ hostPort: 8091, containerPort: 80, protocol: 'tcp' }] },
        prevResult,
      });
      await settle();
      let result: unknown;
      const time = await timed(() => {
        result = JSON.parse(call('ADD', bridge));
        if (published) call('ADD', portmap(result));
      });
      if (published) call('DEL', portmap(result));
      call('DEL', bridge);
      guest.delete();
      return time;
    },
  };
}

for (const published of [false, true]) {
  const directory = mkdtempSync(join(tmpdir(), 'hyperplug-bench-'));
  const namespace = new TestNamespace();
  const other = new TestNamespace();
  const { device, whole, stop } = await ours(namespace, directory, published ? [PUBLISHED] : []);
  const what = published ? 'one NIC with a published port' : 'one NIC';
  try {
    await compare(what, [device, commands(namespace, published)], rounds);
    if (existsSync(`${CNI}/portmap`)) await compare(what, [whole, cni(other, directory, published)], rounds);
    else console.log(`CNI is not installed (${CNI})`);
  } finally {
    await stop();
    for (const one of [namespace, other]) one.delete();
    rmSync(directory, { recursive: true, force: true });
  }
}
