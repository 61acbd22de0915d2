import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Hyperplug, Pod } from '../../src/core/pod/types.js';
import { createHyperplug } from '../../src/hyperplug.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { Sandbox } from '../support/sandbox.js';
import { hasUml } from '../support/uml-fixture.js';

/** One file of configuration, one of a pod: on QEMU, and with another hypervisor.driver on User Mode Linux. */
describe('one configuration of which only the driver changes', function () {
  this.timeout(300_000);
  let namespace: TestNamespace;
  let sandbox: Sandbox;
  const opened: Hyperplug[] = [];
  const pods: Pod[] = [];

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    requireOrSkip(this, hasUml, 'linux.uml or slirp4netns is not installed');
    namespace = new TestNamespace();
    sandbox = await Sandbox.make();
  });
  after(async () => {
    for (const pod of pods) await pod.remove().catch(() => {});
    await opened[0]?.networks.teardown().catch(() => {});
    for (const each of opened) await each.close();
    const left = await sandbox?.leftovers();
    const links = namespace?.links();
    await sandbox?.dispose();
    namespace?.delete();
    expect(left ?? []).to.deep.equal([]);
    expect(links ?? ['lo']).to.deep.equal(['lo']);
  });

  /** Opens what the file says by now. */
  async function open(configPath: string): Promise<Hyperplug> {
    const hyperplug = await createHyperplug({ configPath });
    opened.push(hyperplug);
    await hyperplug.prepare({ timeoutMs: 240_000 });
    return hyperplug;
  }

  /** What the host and the guest tell of a pod, but for who it is. */
  async function seen(pod: Pod) {
    const of = async (command: string) => (await pod.exec(['sh', '-c', command])).stdout.toString().trim();
    const [nic] = pod.nics.list();
    const hidden = (text: string) => text.replaceAll(/192\.168\.123\.\d+\b(?<!\.1)|52:54:[0-9a-f:]+/g, 'OWN');
    return {
      nic: { id: nic?.id, mtu: nic?.mtu, prefix: nic?.addresses[0]?.prefixLength },
      routes: hidden(await of('ip route; ip -6 route show default')),
      link: hidden(await of("ip -o link show dev eth0 | sed 's/.* mtu/mtu/; s/ qdisc.*//'")),
      resolver: await of('cat /etc/resolv.conf'),
      processes: await of('nproc; id -u; pwd'),
    };
  }

  it('runs the same pod on the same network, and the two reach each other on hyper0', async () => {
    const configPath = join(sandbox.root, 'hyperplug.yaml');
    const podPath = join(sandbox.root, 'pod.json');
    writeFileSync(configPath, CONFIG(sandbox.root, namespace.path));
    writeFileSync(podPath, JSON.stringify({ resource: { vcpu: 1, memory: 192 }, nicSlots: 2, dns: ['192.0.2.53'] }));
    const make = async (driver: string) => {
      const text = readFileSync(configPath, 'utf8');
      writeFileSync(configPath, text.replace(/driver: (qemu|uml)/, `driver: ${driver}`));
      const pod = await (await open(configPath)).createPod({
        id: driver,
        ...JSON.parse(readFileSync(podPath, 'utf8')),
      });
      pods.push(pod);
      return pod;
    };
    const [qemu, uml] = [await make('qemu'), await make('uml')];
    expect(await seen(uml)).to.deep.equal(await seen(qemu));
    const kernels = await Promise.all(pods.map(async (pod) => (await pod.exec(['uname', '-r'])).stdout.toString()));
    expect(kernels[0]).to.not.equal(kernels[1]);
    expect(namespace.links()).to.include('hyper0');
    for (const [from, to] of [[qemu, uml] as const, [uml, qemu] as const]) {
      const nic = to.nics.list()[0];
      const address = nic?.addresses[0]?.address ?? expect.fail('a NIC without an address');
      await from.exec(['ping', '-A', '-c', '2', '-W', '10', address]);
      expect(nic?.addresses[1]?.address).to.match(/^fd00:40::/);
      await from.exec(['ping', '-6', '-A', '-c', '2', '-W', '10', nic?.addresses[1]?.address ?? '']);
      const table = (await from.exec(['cat', '/proc/net/arp'])).stdout.toString();
      expect(table.split('\n').find((line) => line.startsWith(`${address} `))).to.include(nic?.mac);
    }
  });
});

const CONFIG = (root: string, netns: string) => `
hypervisor:
  driver: qemu
  qemu: { acceleration: tcg }
network:
  backend: netlink
  netlink: { netns: ${netns} }
  networks: { default: { subnets: [192.168.123.0/24, "fd00:40::/64"] } }
firewall:
  driver: iptables
  iptables: { netns: ${netns} }
paths: { stateDirectory: ${join(root, 'state')}, runtimeDirectory: ${join(root, 'run')} }
`;
