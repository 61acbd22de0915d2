/**
 * The host side of one NIC, made ready to carry packets: by this backend, by the commands a script would run, by the CNI
 * plugins of Debian's containernetworking-plugins, and by a C program that does no more than it must (floor/host-nic.c),
 * as far as these are installed. All of it in one network namespace that this process is in, so that nobody pays for
 * entering it. The commands and the C program allocate no address, so they are compared with the device alone; CNI has its
 * host-local, which writes to files and does not wait for the disk. Ours waits, by default; against CNI it is measured both
 * with its state on the disk and in memory (/dev/shm). Each once as it is, once with one published tcp port. What is made is
 * removed again, untimed. As root: `node dist/bench/host-nic.js [ROUNDS]`
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AddressLease, HostNic, PortMapping } from '../src/core/network.js';
import { callFor, networkSpec, startBackend } from '../test/support/netlink-backend.js';
import { TestNamespace } from '../test/support/netns.js';
import { type Contender, compare, inOwnNamespace, timed } from './harness.js';

const rounds = Number(process.argv[2] ?? 20);
const CNI = '/usr/lib/cni';
const PUBLISHED: PortMapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 };
const FLOOR = fileURLToPath(new URL('../../bench/floor/host-nic.c', import.meta.url));

/** What the run before has set off in the kernel (namespaces that go, RCU) is let go first. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 100));

interface Ours {
  device(name?: string): Contender;
  whole(name: string): Contender;
  stop(): Promise<void>;
}

async function ours(directory: string, ports: readonly PortMapping[]): Promise<Ours> {
  const bench = await startBackend({ namespace: { path: undefined }, directory });
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
    device: (name = 'hyperplug, device') => ({ name, run: () => run(false) }),
    whole: (name) => ({ name, run: () => run(true) }),
    stop: () => bench.stop(),
  };
}

/** The same device, and the rules of the same port. */
function commands(published: boolean): Contender {
  const run = (program: string, ...argv: string[]) => {
    execFileSync(program, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const guest = '192.168.123.200';
  const rules = [
    ['nat', 'PREROUTING', '-p', 'tcp', '--dport', '8090', '-j', 'DNAT', '--to-destination', `${guest}:80`],
    ['nat', 'POSTROUTING', '-s', '192.168.123.0/24', '-d', guest, '-p', 'tcp', '--dport', '80', '-j', 'MASQUERADE'],
    ['filter', 'FORWARD', '-d', guest, '-o', 'hyper0', '-p', 'tcp', '--dport', '80', '-j', 'ACCEPT'],
  ];
  const each = (what: string) => {
    for (const [table = '', ...rule] of published ? rules : []) run('iptables', '-t', table, what, ...rule);
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

/** Measures itself: a tap, and one message that makes it a port. undefined: there is no compiler. */
function floor(directory: string): (Contender & { stop(): void }) | undefined {
  const program = join(directory, 'floor');
  const { error, status, stderr } = spawnSync('cc', ['-O2', '-o', program, FLOOR], { encoding: 'utf8' });
  if (error) return undefined;
  if (status !== 0) throw new Error(stderr);
  const child = spawn(program, ['hyper0'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name: 'C program',
    async run() {
      await settle();
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      if (done) throw new Error('the C program ended');
      return Number(value) / 1e6;
    },
    stop: () => child.stdin.end(),
  };
}

function cni(directory: string, published: boolean): Contender {
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
      const call = (command: string, config: { readonly type: string }) => {
        const env = {
          ...process.env,
          CNI_COMMAND: command,
          CNI_CONTAINERID: container,
          CNI_NETNS: guest.path,
          CNI_IFNAME: 'eth0',
          CNI_PATH: CNI,
        };
        const input = JSON.stringify(config);
        const { status, stdout } = spawnSync(`${CNI}/${config.type}`, [], { input, env, encoding: 'utf8' });
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

async function scenario(published: boolean): Promise<void> {
  const onDisk = mkdtempSync(join(tmpdir(), 'hyperplug-bench-'));
  const inMemory = mkdtempSync('/dev/shm/hyperplug-bench-');
  const what = published ? 'one NIC with a published port' : 'one NIC';
  const ports = published ? [PUBLISHED] : [];
  const first = await ours(inMemory, ports);
  const least = floor(onDisk);
  try {
    await compare(what, [first.device(), commands(published), ...(least ? [least] : [])], rounds);
    if (!existsSync(`${CNI}/portmap`)) {
      console.log(`CNI is not installed (${CNI})`);
      return;
    }
    await compare(what, [first.whole('hyperplug, state in memory'), cni(inMemory, published)], rounds);
    await first.stop();
    const second = await ours(onDisk, ports);
    await compare(what, [second.whole('hyperplug, state on the disk'), cni(onDisk, published)], rounds);
    await second.stop();
  } finally {
    least?.stop();
    await first.stop();
    for (const directory of [onDisk, inMemory]) rmSync(directory, { recursive: true, force: true });
  }
}

if (await inOwnNamespace(import.meta.url)) {
  for (const published of [false, true]) await scenario(published);
}
