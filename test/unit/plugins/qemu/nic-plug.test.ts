import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import type { VmNic } from '../../../../src/core/hypervisor.js';
import { NicPlug } from '../../../../src/plugins/qemu/nic-plug.js';
import type { QmpClient } from '../../../../src/plugins/qemu/qmp/client.js';
import { FakeQmp, type SentCommand } from '../../../support/fake-qmp.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );
const nic = (id: string, last = 1): VmNic => ({
  id,
  mac: `52:54:00:00:00:0${last}`,
  mtu: 1500,
  queues: 1,
  endpoint: { kind: 'builtin', forwards: [], restricted: false },
});
async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > end) expect.fail('it did not happen within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const GENERIC = (desc: string) => ({ error: { class: 'GenericError', desc } });
const NOT_FOUND = { error: { class: 'DeviceNotFound', desc: 'not found' } };

describe('NICs over QMP', function () {
  this.timeout(15_000);
  let qemu: FakeQmp;
  let client: QmpClient;
  let plug: NicPlug;
  let detached: string[];
  /** Command → its answer; else success. */
  let answers: Record<string, (command: SentCommand) => object | undefined>;

  beforeEach(async () => {
    qemu = new FakeQmp();
    answers = {};
    detached = [];
    client = await qemu.connect();
    qemu.answer = (command) => (answers[command.execute] ?? (() => ({ return: {} })))(command);
    const timeouts = { commandTimeoutMs: 5_000, detachTimeoutMs: 600 };
    const options = { machine: 'q35' as const, slots: 2, nicDefaults: true, ...timeouts };
    plug = new NicPlug(client, options, (nicId) => detached.push(nicId));
  });
  afterEach(() => qemu.close());

  const names = () => qemu.commands.slice(1).map(({ execute }) => execute);
  const deleted = (device: string) => qemu.event('DEVICE_DELETED', { device, path: `/machine/peripheral/${device}` });

  it('takes the backend away again when the device is refused, frees the slot, and a retry works', async () => {
    answers = { device_add: () => GENERIC('no room'), device_del: () => NOT_FOUND };
    for (let round = 0; round < 3; round++) {
      expect(hasCode(await failure(plug.attach(nic('n0'), call())), 'QMP_ERROR')).to.equal(true);
    }
    expect(names().slice(0, 4)).to.deep.equal(['netdev_add', 'device_add', 'device_del', 'netdev_del']);
    answers = {};
    expect((await plug.attach(nic('n0'), call())).slot).to.equal(0);
  });

  const tap = (id: string, last: number, fds: readonly number[]): VmNic => ({
    ...nic(id, last),
    queues: fds.length,
    endpoint: { kind: 'tap-fd', fds, vnetHdr: true },
  });

  it('hands a tap over queue by queue before its backend is made', async () => {
    await plug.attach(tap('n0', 1, [0]), call());
    expect(names()).to.deep.equal(['getfd', 'netdev_add', 'device_add']);
    expect(qemu.sent('netdev_add')).to.deep.equal([{ type: 'tap', id: 'net0', fd: 'tap0-0' }]);
    await plug.attach(tap('n1', 2, [0, 1]), call());
    expect(qemu.sent('getfd')).to.deep.equal([{ fdname: 'tap0-0' }, { fdname: 'tap1-0' }, { fdname: 'tap1-1' }]);
    expect(qemu.sent('netdev_add')[1]).to.deep.equal({ type: 'tap', id: 'net1', fds: 'tap1-0:tap1-1' });
    expect(qemu.sent('device_add')[0]).to.have.all.keys('driver', 'id', 'netdev', 'mac', 'host_mtu', 'bus');
    expect(qemu.sent('device_add')[1]).to.deep.include({ mq: true, vectors: 6, ctrl_vq: true });
  });

  it('says all of a device to a QEMU that did not begin with what NICs have by default', async () => {
    const options = {
      machine: 'q35',
      slots: 2,
      nicDefaults: false,
      commandTimeoutMs: 5_000,
      detachTimeoutMs: 600,
    } as const;
    await new NicPlug(client, options, () => {}).attach(nic('n0'), call());
    expect(qemu.sent('device_add')[0]).to.deep.include({ romfile: '', ctrl_vq: false, guest_announce: false });
  });

  for (const step of ['getfd', 'netdev_add', 'device_add'] as const) {
    it(`undoes all of a tap when ${step} is refused, and a retry works`, async () => {
      const held = new Set<unknown>();
      answers = {
        getfd: ({ arguments: args }) => {
          held.add(args?.fdname);
          return { return: {} };
        },
        // netdev_add takes them over when it succeeds.
        netdev_add: () => {
          held.clear();
          return { return: {} };
        },
        closefd: ({ arguments: args }) =>
          held.delete(args?.fdname) ? { return: {} } : GENERIC(`File descriptor named '${args?.fdname}' not found`),
        device_del: () => NOT_FOUND,
        [step]: () => GENERIC('no'),
      };
      for (let round = 0; round < 3; round++) {
        expect(hasCode(await failure(plug.attach(tap('n0', 1, [0, 1]), call())), 'QMP_ERROR')).to.equal(true);
        expect([...held]).to.deep.equal([]);
        expect(plug.table.list()).to.deep.equal([]);
      }
      if (step !== 'getfd') expect(names()).to.include('netdev_del');
      expect(qemu.sent('closefd')).to.deep.include({ fdname: 'tap0-0' });
      answers = {};
      expect((await plug.attach(tap('n0', 1, [0, 1]), call())).slot).to.equal(0);
    });
  }

  it('refuses a tap without a descriptor for each queue, and kinds of endpoint it does not know', async () => {
    const error = await failure(plug.attach({ ...tap('n0', 1, [0]), queues: 2 }, call()));
    expect(hasCode(error, 'VM_SPEC_INVALID')).to.equal(true);
    const named = { ...nic('n0'), endpoint: { kind: 'tap-name', name: 'tap0' } as const };
    expect(hasCode(await failure(plug.attach(named, call())), 'NOT_SUPPORTED')).to.equal(true);
    expect(names()).to.deep.equal([]);
  });

  it('keeps the slot of a device that was added in spite of an abort and cannot be taken away', async () => {
    answers = { device_add: () => undefined };
    const error = await failure(plug.attach(nic('n0'), { signal: AbortSignal.timeout(100) }));
    expect(hasCode(error, 'VM_HYPERVISOR_FAILED')).to.equal(true);
    answers = {};
    expect((await plug.attach(nic('n1', 2), call())).slot).to.equal(1);
    expect(hasCode(await failure(plug.attach(nic('n2', 3), call())), 'VM_NO_SLOT')).to.equal(true);
    deleted('nic0.n0');
    await until(() => detached.length > 0);
    expect((await plug.attach(nic('n2', 3), call())).slot).to.equal(0);
  });

  it('waits for DEVICE_DELETED before netdev_del: the answer to device_del is not the end', async () => {
    await plug.attach(nic('n0'), call());
    const done = plug.detach('n0', call());
    await until(() => names().includes('device_del'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(names()).to.not.include('netdev_del');
    // QEMU sends one without `device` first, for the NIC's own child.
    qemu.event('DEVICE_DELETED', { path: '/machine/peripheral/nic0.n0/virtio-backend' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(names()).to.not.include('netdev_del');
    deleted('nic0.n0');
    await done;
    expect(names().at(-1)).to.equal('netdev_del');
    expect(detached).to.deep.equal(['n0']);
    expect(plug.table.list()).to.deep.equal([]);
  });

  it('asks a guest that did not hear once more', async () => {
    await plug.attach(nic('n0'), call());
    let asked = 0;
    answers = {
      device_del() {
        if (++asked === 2) setTimeout(deleted, 10, 'nic0.n0');
        return asked === 1 ? { return: {} } : GENERIC('Device nic0.n0 is already in the process of unplug');
      },
    };
    await plug.detach('n0', call());
    expect(asked).to.equal(2);
  });

  it('keeps a NIC that the guest keeps, and frees it when it comes late', async () => {
    await plug.attach(nic('n0'), call());
    expect(hasCode(await failure(plug.detach('n0', call())), 'TIMEOUT')).to.equal(true);
    expect(plug.table.list().map(({ id }) => id)).to.deep.equal(['n0']);
    expect(names()).to.not.include('netdev_del');
    deleted('nic0.n0');
    await until(() => plug.table.list().length === 0);
    expect(detached).to.deep.equal(['n0']);
    expect(names().at(-1)).to.equal('netdev_del');
  });

  it('tells at once when the guest refuses', async () => {
    await plug.attach(nic('n0'), call());
    answers = {
      device_del() {
        qemu.event('DEVICE_UNPLUG_GUEST_ERROR', { device: 'nic0.n0', path: '/machine/peripheral/nic0.n0' });
        return { return: {} };
      },
    };
    expect(hasCode(await failure(plug.detach('n0', call())), 'QMP_ERROR')).to.equal(true);
    expect(plug.table.list()).to.have.length(1);
  });

  it('two calls for one NIC take turns: the second finds it gone', async () => {
    await plug.attach(nic('n0'), call());
    answers = {
      device_del() {
        setTimeout(deleted, 20, 'nic0.n0');
        return { return: {} };
      },
    };
    const [first, second] = [plug.detach('n0', call()), failure(plug.detach('n0', call()))];
    await first;
    expect(hasCode(await second, 'VM_NIC_NOT_FOUND')).to.equal(true);
  });

  it("reads what is plugged from QEMU, and takes away a dead manager's half-made NIC", async () => {
    answers = {
      'qom-list': () => ({ return: [{ name: 'nic1.web' }, { name: 'serial' }, { name: 'slot0' }, { name: 'type' }] }),
      'qom-get': () => ({ return: '52:54:00:AA:BB:CC' }),
      netdev_del: () => NOT_FOUND,
    };
    await plug.recover(call());
    expect(plug.table.list()).to.deep.equal([{ id: 'web', mac: '52:54:00:aa:bb:cc', slot: 1 }]);
    expect(qemu.sent('netdev_del')).to.deep.equal([{ id: 'net0' }]);
  });

  it('takes any words of hostfwd_add for an error, and those of hostfwd_remove for what they say', async () => {
    await plug.attach(nic('n0'), call());
    const forward = {
      protocol: 'tcp',
      hostAddress: '127.0.0.1',
      hostPort: 48_080,
      guestAddress: '10.0.2.15',
      guestPort: 80,
    } as const;
    answers = { 'human-monitor-command': () => ({ return: '' }) };
    await plug.addForward('n0', forward, call());
    answers = { 'human-monitor-command': () => ({ return: 'something went wrong\r\n' }) };
    expect(hasCode(await failure(plug.addForward('n0', forward, call())), 'QMP_ERROR')).to.equal(true);
    expect(hasCode(await failure(plug.removeForward('n0', forward, call())), 'QMP_ERROR')).to.equal(true);
    const words = 'host forwarding rule for tcp:127.0.0.1:48080 removed\r\n';
    answers = { 'human-monitor-command': () => ({ return: words }) };
    await plug.removeForward('n0', forward, call());
    expect(qemu.sent('human-monitor-command').at(-1)).to.deep.equal({
      'command-line': 'hostfwd_remove net0 tcp:127.0.0.1:48080',
    });
  });
});
