import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { hasCode } from '../../src/core/errors.js';
import type { Hyperplug, Pod } from '../../src/core/pod/types.js';
import { createHyperplug } from '../../src/hyperplug.js';
import { bundled } from '../support/bundled.js';
import { onEachDriver } from '../support/drivers.js';
import { eventually } from '../support/eventually.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { processesNaming, Sandbox } from '../support/sandbox.js';

const ADDER = fileURLToPath(new URL('../support/nic-adder.js', import.meta.url));

/** When the adder dies: after what it says, and so many milliseconds more. */
const KILLED = [
  ['opened', 0],
  ['opened', 30],
  ['opened', 80],
  ['opened', 160],
  ['opened', 300],
  ['added', 0],
  ['added', 50],
  ['added', 120],
  ['removed', 0],
] as const;

onEachDriver('the network of a kept pod', function (driver) {
  this.timeout(600_000);
  let namespace: TestNamespace;
  let sandbox: Sandbox;
  const children = new Set<ChildProcess>();

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    const netns = namespace.path;
    sandbox = await Sandbox.make({
      network: {
        backend: 'netlink',
        netlink: { netns },
        networks: { default: {}, back: { subnets: ['10.91.0.0/24'] } },
      },
      firewall: { driver: 'iptables', iptables: { netns } },
      hypervisor: { driver: driver.name, qemu: { acceleration: 'tcg' } },
    });
    await using hyperplug = await manager();
    await hyperplug.prepare({ timeoutMs: 600_000 });
    await hyperplug.createPod({ id: 'kept', keep: true, nicSlots: 4 });
  });

  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await sandbox?.dispose();
    namespace?.delete();
  });

  const manager = (): Promise<Hyperplug> => createHyperplug({ configPath: sandbox.configPath });
  const rules = () => execFileSync('nsenter', [`--net=${namespace.path}`, 'iptables-save'], { encoding: 'utf8' });
  const aliases = () =>
    namespace
      .json('link', 'show')
      .flatMap(({ ifalias }) => (ifalias?.includes(' nic ') ? [ifalias.replace(/@\w+/, '')] : []))
      .sort();
  /** One process's hold of the pod. */
  async function held<T>(body: (pod: Pod) => Promise<T>): Promise<T> {
    await using hyperplug = await manager();
    return await body(await hyperplug.openPod('kept'));
  }
  const gateway = (pod: Pod) => pod.exec(['ping', '-A', '-c', '2', '-W', '10', '192.168.123.1'], { reject: false });

  it('is changed by one process after the other', async () => {
    await held((pod) => pod.nics.add({ id: 'x', network: 'back', ifname: 'lan' }));
    await held(async (pod) => {
      expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default', 'x']);
      await pod.nics.update('x', { addAddresses: ['10.91.0.40'] });
      await pod.routes.add([{ destination: '203.0.113.0/24', nic: 'x' }]);
    });
    expect(aliases()).to.deep.equal(['hyperplug pod kept nic eth-default', 'hyperplug pod kept nic x']);
    await held(async (pod) => {
      const [, x] = await pod.nics.read();
      expect(x?.guest?.addresses.map(({ address }) => address)).to.include.members(['10.91.0.2', '10.91.0.40']);
      await pod.nics.remove('x');
      expect((await pod.routes.list()).map(({ destination }) => destination)).to.not.include('203.0.113.0/24');
    });
    await eventually(async () => expect(aliases()).to.deep.equal(['hyperplug pod kept nic eth-default']), 15_000);
  });

  it('is whole again after managers that were killed at any moment of adding, changing and removing', async () => {
    const adder = await bundled(ADDER);
    for (const [moment, afterMs] of KILLED) {
      const child = spawn(process.execPath, [adder, sandbox.configPath, 'kept'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.add(child);
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk;
      });
      const exit = once(child, 'exit');
      while (!output.includes(moment) && child.exitCode === null)
        await Promise.race([once(child.stdout, 'data'), exit]);
      await Promise.race([delay(afterMs), exit]);
      child.kill('SIGKILL');
      await exit;
      expect(output).to.include(moment);
      // It has work to do until it says that it has removed one.
      if (afterMs === 0 && moment !== 'removed')
        expect(child.signalCode, `killed at ${moment}: ${output}`).to.equal('SIGKILL');
      await held(async (pod) => {
        for (const { id } of pod.nics) if (id !== 'eth-default') await pod.nics.remove(id).catch(notFound);
        // What was being added is not listed, and goes with the next change.
        await pod.ports.remove([{ hostPort: 18_090 }]);
        expect(pod.nics.list().map(({ id }) => id)).to.deep.equal(['eth-default']);
        const links = await pod.exec(['ls', '/sys/class/net']);
        expect(links.stdout.split(/\s+/).sort()).to.deep.equal(['eth0', 'lo']);
        expect((await gateway(pod)).exitCode).to.equal(0);
      });
      await eventually(async () => expect(aliases()).to.deep.equal(['hyperplug pod kept nic eth-default']), 15_000);
      expect(rules(), `killed ${afterMs} ms after ${moment}`).to.not.include('18090');
    }
    // Every address is free again.
    await held(async (pod) => {
      const nic = await pod.nics.add({ id: 'y', network: 'back', ip: ['10.91.0.99'] });
      expect(nic.addresses[0]?.address).to.equal('10.91.0.99');
      await pod.nics.remove('y');
    });
  });

  it('tells at once when the machine dies while a NIC is added, and leaves nothing of it', async () => {
    await using hyperplug = await manager();
    const pod = await hyperplug.openPod('kept');
    const qemu = processesNaming(`${sandbox.root}/run/pods/kept`).find(({ command }) =>
      command.includes(driver.program),
    );
    const adding = pod.nics.add({ id: 'z', network: 'back' }).catch((error: unknown) => error);
    await delay(30);
    process.kill(qemu?.pid ?? expect.fail('no QEMU'), 'SIGKILL');
    const outcome = await adding;
    if (!('id' in (outcome as object)))
      expect(hasCode(outcome, 'VM_EXITED', 'VM_NOT_RUNNING', 'AGENT_CLOSED'), String(outcome)).to.equal(true);
    await pod.remove();
    await eventually(async () => expect(aliases()).to.deep.equal([]), 15_000);
    await hyperplug.networks.teardown();
    expect(namespace.links()).to.deep.equal(['lo']);
    expect(rules()).to.not.match(/HYPER|hyperplug/);
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });
});

function notFound(error: unknown): void {
  if (!hasCode(error, 'VM_NIC_NOT_FOUND')) throw error;
}
