import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Hyperplug, Pod, PodNic } from '../../src/core/pod/types.js';
import { createHyperplug } from '../../src/hyperplug.js';
import { eventually } from '../support/eventually.js';
import { heldByQemu } from '../support/held-by-qemu.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { Sandbox } from '../support/sandbox.js';

for (const driver of ['qemu', 'uml'] as const) {
  describe(`the Hyper network (${driver})`, function () {
    hyperNetwork.call(this, driver);
  });
}

/** Virtual machines on bridges, taps and NAT, all in a namespace of the test's own; another one stands for the internet. */
function hyperNetwork(this: Mocha.Suite, driver: 'qemu' | 'uml') {
  this.timeout(600_000);
  let namespace: TestNamespace;
  let internet: TestNamespace;
  let sandbox: Sandbox;
  let hyperplug: Hyperplug;
  let one: Pod;
  let two: Pod;
  const pods = new Set<Pod>();
  let descriptors: number;
  const cpus = driver === 'qemu' ? 2 : 1;

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    internet = new TestNamespace();
    // The internet knows no way to the pods: only what comes from the host's address can be answered.
    namespace.ip('link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'wan', 'netns', internet.name);
    namespace.ip('addr', 'add', '198.51.100.2/24', 'dev', 'uplink');
    namespace.ip('link', 'set', 'uplink', 'up');
    namespace.ip('route', 'add', 'default', 'via', '198.51.100.1');
    internet.ip('addr', 'add', '198.51.100.1/24', 'dev', 'wan');
    internet.ip('link', 'set', 'wan', 'up');
    const netns = namespace.path;
    sandbox = await Sandbox.make({
      network: {
        backend: 'netlink',
        netlink: { netns },
        networks: { default: {}, back: { subnets: ['10.91.0.0/24'], mtu: 1400 } },
      },
      firewall: { driver: 'iptables', iptables: { netns } },
      hypervisor: { driver, qemu: { acceleration: 'tcg' } },
    });
    // The thread that commits is there from the first commit, so that its descriptors count before and after.
    hyperplug = await createHyperplug({ configPath: sandbox.configPath, serves: true });
    await hyperplug.prepare({ timeoutMs: 600_000 });
    await hyperplug.networks.init();
    descriptors = openDescriptors();
    // Kept, so that its QEMU has a monitor to spare for the test's questions.
    one = await create({ id: 'one', nicSlots: 8, keep: true });
    two = await create({ id: 'two', ...(cpus > 1 && { resource: { vcpu: cpus } }) });
  });

  after(async () => {
    for (const pod of pods) await pod.remove().catch(() => {});
    await hyperplug?.close();
    await sandbox?.dispose();
    namespace?.delete();
    internet?.delete();
  });

  async function create(spec: object): Promise<Pod> {
    const pod = await hyperplug.createPod(spec);
    pods.add(pod);
    return pod;
  }
  const openDescriptors = () => readdirSync('/proc/self/fd').length;
  const address = (nic: PodNic | undefined) => nic?.addresses[0]?.address ?? expect.fail('a NIC without an address');

  async function run(pod: Pod, ...argv: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await pod.exec(argv, { reject: false });
    expect(exitCode, `${argv.join(' ')}: ${stdout}${stderr}`).to.equal(0);
    return stdout.toString();
  }
  const pings = (pod: Pod, to: string) => run(pod, 'ping', '-A', '-c', '2', '-W', '10', to);
  /** Who answered a ping from this pod. */
  async function macBehind(pod: Pod, to: string): Promise<string> {
    await run(pod, 'ping', '-A', '-c', '2', '-W', '10', to);
    const table = await run(pod, 'cat', '/proc/net/arp');
    return (
      table
        .split('\n')
        .find((line) => line.startsWith(`${to} `))
        ?.split(/\s+/)[3] ?? table
    );
  }
  const taps = () => namespace.links().filter((name) => name.startsWith('hp'));
  const rules = () => execFileSync('nsenter', [`--net=${namespace.path}`, 'iptables-save'], { encoding: 'utf8' });
  const rulesOf = (nic: string) =>
    rules()
      .split('\n')
      .filter((line) => line.includes(nic));

  it('joins two machines to each other, to the host and, by its address, to the internet', async () => {
    expect(namespace.links()).to.include('hyper0');
    await pings(one, address(two.nics.list()[0]));
    await pings(two, address(one.nics.list()[0]));
    await pings(one, '192.168.123.1');
    await pings(one, '198.51.100.1');
  });

  if (cpus > 1)
    it('gives a machine with two CPUs a tap of two queues, and one answered ping over it', async () => {
      const nic = two.nics.list()[0] as PodNic;
      expect(await macBehind(one, address(nic))).to.equal(nic.mac);
      expect(await run(two, 'sh', '-c', 'ls -d /sys/class/net/eth0/queues/rx-*')).to.match(/rx-1/);
    });

  it('plugs eight NICs at once on two networks, each answering at the address it was given', async () => {
    const specs = Array.from({ length: 8 }, (_, index) => ({
      id: `n${index}`,
      network: index % 2 === 0 ? 'default' : 'back',
      mac: `52:54:00:00:01:0${index}`,
      ...(index < 2 && { ifname: `plug${index}` }),
    }));
    await two.nics.add({ id: 'back', network: 'back' });
    const nics = await one.nics.add(specs, { timeoutMs: 180_000 });
    // Else any NIC of a network answers, and asks, for the others.
    await run(
      one,
      'sh',
      '-c',
      'cd /proc/sys/net/ipv4/conf/all; echo 1 >arp_ignore; echo 2 >arp_announce; echo 0 >rp_filter',
    );
    await run(one, 'sh', '-c', 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done');
    for (const [index, nic] of nics.entries()) {
      expect(nic.mac).to.equal(specs[index]?.mac);
      expect(address(nic)).to.match(index % 2 === 0 ? /^192\.168\.123\./ : /^10\.91\.0\./);
      expect(nic.mtu).to.equal(index % 2 === 0 ? 1500 : 1400);
      expect(await macBehind(two, address(nic)), address(nic)).to.equal(nic.mac);
    }
    expect(nics[1]?.guest?.name).to.equal('plug1');
    expect(taps()).to.have.length(11);
    await Promise.all(nics.map(({ id }) => one.nics.remove(id, { timeoutMs: 180_000 })));
    expect(one.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default']);
    await eventually(async () => expect(taps()).to.have.length(3), 15_000);
    expect((await run(one, 'ls', '/sys/class/net')).trim().split(/\s+/).sort()).to.deep.equal(['eth0', 'lo']);
    await pings(one, '192.168.123.1');
  });

  it('changes a NIC: addresses, name, MTU, and routes by it, as host and guest both tell', async () => {
    await one.nics.add({ id: 'x', network: 'back' });
    const changed = await one.nics.update('x', { addAddresses: ['10.91.0.77'], name: 'lan', mtu: 1300 });
    expect(await macBehind(two, '10.91.0.77')).to.equal(changed.mac);
    const link = namespace.json('link', 'show').find((each) => /^hyperplug@\w+ pod one nic x$/.test(each.ifalias));
    expect(link?.mtu).to.equal(1300);
    await one.routes.add([{ destination: '203.0.113.0/24', gateway: '10.91.0.1', metric: 7 }]);
    const route = (await one.routes.list()).find(({ destination }) => destination === '203.0.113.0/24');
    expect(route).to.deep.include({ gateway: '10.91.0.1', nic: 'x', device: 'lan', metric: 7, origin: 'pod' });
    await one.nics.update('x', { removeAddresses: ['10.91.0.77'], name: 'lan2', mtu: 1400 });
    expect((await one.routes.list()).some(({ destination }) => destination === '203.0.113.0/24')).to.equal(true);
    await one.nics.add({ ifname: 'lo', ip: '10.200.0.1' });
    await pings(one, '10.200.0.1');
    await one.nics.remove('lo');
    await one.nics.remove('x');
    expect(
      (await one.routes.list()).filter(({ origin }) => origin === 'pod').map(({ gateway }) => gateway),
    ).to.deep.equal(['192.168.123.1']);
  });

  it('publishes a port while the machine runs, and it leads to the NIC it was declared on', async () => {
    const server = one.exec(['sh', '-c', 'while true; do echo hello | nc -l -p 80; done'], { reject: false });
    await one.ports.add([{ hostPort: 18_080, containerPort: 80 }]);
    const fetched = () => internet.exec('timeout', '10', 'bash', '-c', 'exec 3<>/dev/tcp/198.51.100.2/18080; cat <&3');
    await eventually(async () => expect(fetched()).to.equal('hello\n'), 30_000);
    expect(await one.ports.remove([{ hostPort: 18_080 }])).to.have.length(1);
    expect(rulesOf('18080')).to.deep.equal([]);
    await server.kill('SIGKILL');
    expect((await server).signal).to.equal('SIGKILL');
  });

  it('leaves no tap, rule, address, descriptor or object of QEMU after 100 rounds of adding and removing', async () => {
    const before = { descriptors: openDescriptors(), rules: rules().split('\n').length, links: namespace.links() };
    const held = driver === 'qemu' && (await heldByQemu(join(sandbox.root, 'run/pods/one')));
    for (let round = 0; round < 100; round++) {
      const nic = await one.nics.add({ id: 'round', network: round % 2 === 0 ? 'default' : 'back' });
      expect(nic.guest?.up).to.equal(true);
      await one.nics.remove('round');
    }
    await eventually(async () => expect(namespace.links()).to.deep.equal(before.links), 15_000);
    expect(rules().split('\n').length).to.equal(before.rules);
    expect(openDescriptors()).to.be.at.most(before.descriptors + 1);
    if (held) expect(await heldByQemu(join(sandbox.root, 'run/pods/one'))).to.deep.equal(held);
  });

  it('leaves nothing when pods and networks are gone', async () => {
    for (const pod of pods) await pod.remove();
    expect(taps()).to.deep.equal([]);
    await hyperplug.networks.teardown();
    expect(namespace.links().sort()).to.deep.equal(['lo', 'uplink']);
    expect(rules()).to.not.match(/HYPER|hyperplug/);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await eventually(async () => expect(openDescriptors()).to.be.at.most(descriptors + 2), 15_000);
  });
}
