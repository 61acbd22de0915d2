import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UndoStack } from '../../src/core/undo.js';
import { Vm } from '../../src/core/vm/vm.js';
import {
  FAKE_CHANNEL,
  FakeAgent,
  FakeGuest,
  FakeHypervisor,
  FakeMachine,
  FakeNetwork,
} from '../../src/testing/index.js';

const PODS = 40;

describe('the fakes together', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'fakes-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it(`run ${PODS} VMs at once on one network, and leave an empty machine`, async () => {
    const machine = new FakeMachine();
    const guests: FakeGuest[] = [];
    const guest = () => {
      const made = new FakeGuest();
      guests.push(made);
      return made;
    };
    const deps = { driver: new FakeHypervisor({ machine, guest }), agent: new FakeAgent() };
    const network = new FakeNetwork({ machine });
    const call = () => ({ signal: AbortSignal.timeout(15_000) });
    await network.init([{ name: 'net', subnets: ['10.213.1.0/24'], mtu: null, isolated: false, dns: [] }], call());

    const pod = async (at: number): Promise<string> => {
      const [podId, nicId, mac] = [`pod-${at}`, 'n0', `02:00:00:00:01:${at.toString(16).padStart(2, '0')}`];
      const lease = await network.allocateAddress({ network: 'net', podId, nicId, addresses: [] }, call());
      const plan = { podId, nicId, mac, mtu: lease.mtu, queues: 1, lease, ports: [], endpoint: 'tap-name' as const };
      const host = await network.attach(plan, call());
      const runDir = mkdtempSync(join(root, 'vm-'));
      const spec = {
        id: podId,
        cpus: 1,
        memoryMib: 64,
        kernelPath: '/kernel',
        initramfsPath: '/initramfs',
        kernelArgs: [],
        channels: [FAKE_CHANNEL],
        nics: [{ id: nicId, mac, mtu: lease.mtu, queues: 1, endpoint: host.endpoint }],
        disks: [],
        shares: [],
        hotplugNicSlots: 1,
        runDir,
        consoleLogPath: `${runDir}.log`,
        detached: false,
      };
      const undo = new UndoStack();
      const vm = await Vm.launch(deps, spec, undo, call(), async () => host.handedOver());
      const setup = { hostname: podId, dns: [], dnsSearch: [], dnsOptions: [] };
      const { addresses, gateways, mtu } = lease;
      const config = { mac, expectedName: 'eth0', name: 'net0', addAddresses: addresses, removeAddresses: [], mtu };
      const route = { destination: 'default', gateway: gateways[0] as string, mac };
      const [nic] = await vm.configure(setup, [config], [route], call());
      const { routes } = await vm.session.readNetwork(call());
      expect(routes).to.have.length(1);
      expect(routes[0]).to.include({ destination: 'default', gateway: '10.213.1.1', device: 'net0' });
      await vm.kill(call());
      await network.detach(host.record, call());
      await network.releaseAddress(lease, call());
      return `${nic?.mac} ${nic?.name} ${nic?.addresses[0]?.address}`;
    };

    const seen = await Promise.all(Array.from({ length: PODS }, (_, at) => pod(at)));
    expect(new Set(seen).size).to.equal(PODS);
    expect(guests.map(({ hostname }) => hostname).sort()).to.deep.equal(
      Array.from({ length: PODS }, (_, at) => `pod-${at}`).sort(),
    );
    await network.teardown('net', call());
    expect([machine.processes.size, machine.taps.size, machine.bridges.size]).to.deep.equal([0, 0, 0]);
  });
});
