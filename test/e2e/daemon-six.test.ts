import { expect } from 'chai';
import type { Hyperplug } from '../../src/core/pod/types.js';
import { createHyperplug } from '../../src/hyperplug.js';
import { startDaemon, type TestDaemon } from '../support/daemon.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { Sandbox } from '../support/sandbox.js';
import { hasUml } from '../support/uml-fixture.js';

const COUNT = 6;

/** The same as with many pods whose VMs are objects in memory, with few that are not. */
describe('a daemon with real VMs', function () {
  this.timeout(300_000);
  let namespace: TestNamespace;
  let sandbox: Sandbox;
  let served: TestDaemon;

  before(async function () {
    requireOrSkip(this, hasUml, 'linux.uml or slirp4netns is not installed');
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    const netns = namespace.path;
    sandbox = await Sandbox.make({
      network: { backend: 'netlink', netlink: { netns } },
      firewall: { driver: 'iptables', iptables: { netns } },
      hypervisor: { driver: 'uml' },
      pods: { bootTimeoutMs: 180_000 },
    });
    const engine = await createHyperplug({ configPath: sandbox.configPath, serves: true });
    await engine.prepare({ timeoutMs: 200_000 });
    served = await startDaemon(sandbox.root, engine);
  });
  after(async () => {
    await served?.daemon.stop();
    await sandbox?.dispose();
    namespace?.delete();
  });

  it(`${COUNT} at once, each for a client of its own: they reach each other, no address twice, and nothing is left`, async () => {
    const clients: Hyperplug[] = await Promise.all(Array.from({ length: COUNT }, () => served.connect()));
    const pods = await Promise.all(
      clients.map((client, index) =>
        client.createPod(
          {
            id: `six-${index}`,
            resource: { memory: 128 },
            portmappings: [{ hostPort: 20_000 + index, containerPort: 80 }],
          },
          { timeoutMs: 240_000 },
        ),
      ),
    );
    const running = await (clients[0] as Hyperplug).listPods();
    expect(running.map(({ state }) => state)).to.deep.equal(Array(COUNT).fill('running'));
    const addresses = running.map(({ addresses: [first] }) => first?.split('/')[0] as string);
    expect(new Set(addresses).size).to.equal(COUNT);
    // Each asks the next one, over the bridge.
    const answers = await Promise.all(
      pods.map((pod, index) =>
        pod.exec(['ping', '-c', '1', '-W', '20', addresses[(index + 1) % COUNT] as string], { timeoutMs: 60_000 }),
      ),
    );
    expect(answers.map(({ exitCode }) => exitCode)).to.deep.equal(Array(COUNT).fill(0));
    await Promise.all(clients.map((client, index) => client.removePod(`six-${index}`, { force: true })));
    await Promise.all(clients.map((client) => client.close()));
    expect(namespace.json('link', 'show', 'type', 'tun')).to.deep.equal([]);
    expect(namespace.exec('iptables-save')).not.to.match(/--dport 2000\d/);
    await served.daemon.stop();
    expect(await sandbox.leftovers()).to.deep.equal([]);
    expect(served.log).to.deep.equal([]);
  });
});
