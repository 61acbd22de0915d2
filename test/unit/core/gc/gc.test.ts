import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import type { GcReport } from '../../../../src/core/gc/types.js';
import type { HeldPod } from '../../../../src/core/pod/held-pod.js';
import { podKey } from '../../../../src/core/pod/record.js';
import { gcHost } from '../../../../src/host/gc-host.js';
import { acquireLock } from '../../../../src/host/lock.js';
import { told } from '../../../support/fake-world.js';
import { NETWORKS, PodFixture } from '../../../support/pod-fixture.js';

const call = () => ({ signal: AbortSignal.timeout(20_000) });
const port = { hostPort: 0, containerPort: 80 };

describe('gc', () => {
  let fixture: PodFixture;
  beforeEach(() => {
    fixture = new PodFixture();
  });
  afterEach(() => fixture.dispose());

  const gc = (dryRun = false): Promise<GcReport> => {
    const { network, manager } = fixture;
    const know = (nics: readonly unknown[], options: { signal: AbortSignal }) =>
      network.configure(NETWORKS, nics, options);
    return manager.gc(know, gcHost, { dryRun }, {});
  };
  /** A kept pod that nobody holds. */
  const kept = async (): Promise<HeldPod> => {
    const pod = await fixture.pod({ keep: true });
    await pod.release();
    return pod;
  };
  const setRecord = async (change: (record: Record<string, unknown>) => unknown) => {
    const record = JSON.parse(JSON.stringify(await fixture.record()));
    await fixture.state.transaction((t) => t.put(podKey('p'), change(record) as never), call());
  };
  const everything = async () => JSON.stringify([fixture.traces(), await fixture.state.list([], call())]);

  it('finds nothing where nothing is', async () => {
    expect(await gc()).to.deep.equal({ dryRun: false, findings: [] });
  });

  it('keeps a pod that runs, held or not', async () => {
    const pod = await fixture.pod({ keep: true });
    expect(told(await gc())).to.deep.equal(['kept pod p']);
    await pod.release();
    expect(told(await gc())).to.deep.equal(['kept pod p']);
    await using again = await fixture.manager.open('p', {});
    expect((await again.exec(['true'])).exitCode).to.equal(0);
  });

  it('removes all that bears our mark and has no record, and tells of each; a dry run of the same changes nothing', async () => {
    await kept();
    await fixture.state.transaction((t) => t.delete(podKey('p')), call());
    const before = await everything();
    const dry = await gc(true);
    expect(await everything()).to.equal(before);
    const done = await gc();
    expect(told(done)).to.deep.equal(told(dry));
    expect(done.findings.map(({ kind }) => kind)).to.include.members(['vm', 'device', 'address', 'directory']);
    expect(done.findings.every(({ action }) => action === 'removed')).to.equal(true);
    expect(fixture.leftovers()).to.deep.equal([]);
    expect(readdirSync(join(fixture.root, 'run/locks'))).to.deep.equal([]);
    expect(told(await gc())).to.deep.equal([]);
  });

  it('leaves alone a record that it cannot read, and all that its pod may own', async () => {
    await kept();
    await setRecord((record) => ({ ...record, version: 99 }));
    const before = await everything();
    expect(told(await gc())).to.deep.equal(['left record p']);
    expect(await everything()).to.equal(before);
    expect(existsSync(join(fixture.root, 'run/pods/p'))).to.equal(true);
  });

  it('leaves alone what a plugin made that is not there, names it, and writes no other reason into its record', async () => {
    await kept();
    fixture.machine.signal((await fixture.record()).vm?.process.pid ?? 0, 'SIGKILL');
    for (const kind of ['hypervisor', 'network']) {
      await setRecord((record) => ({ ...record, [kind]: 'elsewhere' }));
      const before = await everything();
      const [finding] = (await gc()).findings;
      expect(finding).to.deep.include({ action: 'left', kind: 'pod', id: 'p' });
      expect(finding?.error).to.deep.include({ code: 'PLUGIN_NOT_FOUND' });
      expect(finding?.error?.message).to.contain(kind).and.to.contain('elsewhere');
      expect(await everything()).to.equal(before);
      await setRecord((record) => ({ ...record, [kind]: 'fake' }));
    }
  });

  it('leaves alone what a process that lives is at', async () => {
    await kept();
    const other = fixture.machine.spawn(['another manager']).identity;
    const lock = await acquireLock(join(fixture.root, 'run/locks/p.lock'), { signal: call().signal });
    for (const state of ['creating', 'starting', 'stopping', 'removing']) {
      await setRecord((record) => ({ ...record, state, manager: other }));
      const before = await everything();
      expect(told(await gc())).to.deep.equal(['left pod p']);
      expect(await fixture.manager.sweep(gcHost, {})).to.deep.equal({ removed: [], errors: [] });
      expect(await everything()).to.equal(before);
    }
    await lock.release();
    fixture.machine.exit(other);
    expect(told(await gc())).to.deep.equal(['removed pod p']);
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  for (const keep of [true, false]) {
    /** A pod whose creation failed and could not be undone, by a process that lives on. */
    const givenUp = async () => {
      fixture.network.faults.plan('detach');
      fixture.hypervisor.faults.plan('launch');
      const error = await fixture.pod({ keep }).catch((reason: unknown) => reason);
      expect(hasCode(error, 'POD_CLEANUP_FAILED'), String(error)).to.equal(true);
      expect((await fixture.record()).state).to.equal('creating');
    };

    it(`removes what a process that lives on could not undo (${keep ? 'a kept pod' : 'a pod of its own'})`, async () => {
      await givenUp();
      expect(told(await gc(true))).to.deep.equal(['removed pod p']);
      expect(told(await gc())).to.deep.equal(['removed pod p']);
      expect(fixture.leftovers()).to.deep.equal([]);
      expect(told(await gc())).to.deep.equal([]);
    });

    it(`so does the sweep before the first pod of a process (${keep ? 'kept' : 'its own'})`, async () => {
      await givenUp();
      expect(await fixture.manager.sweep(gcHost, {})).to.deep.equal({ removed: ['p'], errors: [] });
      expect(fixture.leftovers()).to.deep.equal([]);
      expect(await fixture.state.list(['pods'], call())).to.deep.equal([]);
    });
  }

  it('the sweep removes a pod that has no record yet, with its VM, unless whoever makes it lives', async () => {
    await (await fixture.pod({ keep: true, network: 'none' })).release();
    await fixture.state.transaction((t) => t.delete(podKey('p')), call());
    const lock = await acquireLock(join(fixture.root, 'run/locks/p.lock'), { signal: call().signal });
    expect(await fixture.manager.sweep(gcHost, {})).to.deep.equal({ removed: [], errors: [] });
    expect(await fixture.hypervisor.traces(call())).to.have.length(1);
    await lock.release();
    expect(await fixture.manager.sweep(gcHost, {})).to.deep.equal({ removed: ['p'], errors: [] });
    expect(await fixture.hypervisor.traces(call())).to.deep.equal([]);
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  it('a pod whose start could not be undone starts again, with nothing of the first time left', async () => {
    await fixture.pods.create({ id: 'p' });
    fixture.network.faults.plan('detach');
    fixture.hypervisor.faults.plan('launch');
    const error = await fixture.pods.start('p').catch((reason: unknown) => reason);
    expect(hasCode(error, 'POD_CLEANUP_FAILED'), String(error)).to.equal(true);
    expect((await fixture.record()).state).to.equal('starting');
    expect(told(await gc())).to.deep.equal(['finished pod p']);
    expect((await fixture.pods.inspect('p')).state).to.equal('failed');
    expect((await fixture.pods.start('p')).state).to.equal('running');
    await fixture.pods.stop('p', { graceMs: 0 });
    await fixture.pods.remove('p');
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  it('leaves alone what has no record yet while its lock is held', async () => {
    const run = join(fixture.root, 'run');
    mkdirSync(join(run, 'pods/new'), { recursive: true });
    mkdirSync(join(run, 'locks'), { recursive: true });
    const lock = await acquireLock(join(run, 'locks/new.lock'), { signal: call().signal });
    expect(told(await gc())).to.deep.equal(['left pod new']);
    await lock.release();
    expect(told(await gc(true))).to.deep.equal(told(await gc()));
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  it('finishes what a manager had under way with the NICs of a pod that runs', async () => {
    await kept();
    const ghost = { id: 'x', kind: 'network', state: 'adding', mac: '52:00:00:00:00:09', name: null, guestName: null };
    const lease = { network: 'back', podId: 'p', nicId: 'x', addresses: [], gateways: [], dns: [], mtu: 0 };
    const host = { version: 1, backend: 'fake', network: 'back', podId: 'p', nicId: 'x', data: null };
    await fixture.network.allocateAddress({ network: 'back', podId: 'p', nicId: 'x', addresses: [] }, call());
    await setRecord((record) => ({
      ...record,
      nics: [...(record.nics as []), { ...ghost, mtu: 0, lease, otherAddresses: [], ports: [], host }],
    }));
    expect(told(await gc(true))).to.deep.equal(['kept pod p', 'finished nic x']);
    expect(told(await gc())).to.deep.equal(['kept pod p', 'finished nic x']);
    expect((await fixture.record()).nics.map(({ id }) => id)).to.deep.equal(['eth-default']);
    expect(fixture.traces().addresses.filter((each) => each.includes('p/x'))).to.deep.equal([]);
  });

  it('gives back addresses, and withdraws ports, that the record of a NIC does not have', async () => {
    await kept();
    const { nics } = await fixture.record();
    const nic = nics[0] as (typeof nics)[0];
    const request = { network: 'default', podId: 'p', nicId: 'eth-default', addresses: ['10.90.0.77'] };
    await fixture.network.allocateAddress(request, call());
    const { freePort } = await import('../../../support/free-port.js');
    const mapping = { ...port, protocol: 'tcp', hostAddress: '127.0.0.1', guestPort: 80, count: 1 } as const;
    const hostPort = await freePort();
    await fixture.network.publish(nic.host!, nic.lease!, [{ ...mapping, hostPort }], call());
    const wanted = [`removed address 10.90.0.77`, `removed port 127.0.0.1:${hostPort}/tcp`];
    expect(told(await gc(true)).slice(1)).to.deep.equal(wanted);
    expect(told(await gc()).slice(1)).to.deep.equal(wanted);
    expect(fixture.network.publishedPorts()).to.deep.equal([]);
    expect(told(await gc())).to.deep.equal(['kept pod p']);
  });

  it('publishes again what the record has and the host has not', async () => {
    const { freePort } = await import('../../../support/free-port.js');
    const hostPort = await freePort();
    const pod = await fixture.pod({ keep: true, portmappings: [{ hostPort, containerPort: 80 }] });
    await pod.release();
    const nic = (await fixture.record()).nics[0]!;
    await fixture.network.unpublish(nic.host!, nic.ports, call());
    expect(told(await gc())).to.deep.equal(['kept pod p', `finished port 0.0.0.0:${hostPort}/tcp`]);
    expect(fixture.network.publishedPorts()).to.deep.equal([hostPort]);
  });

  it('goes on past what fails, and tells of it', async () => {
    await kept();
    await fixture.state.transaction((t) => t.delete(podKey('p')), call());
    mkdirSync(join(fixture.root, 'run/pods/q'), { recursive: true });
    fixture.network.faults.plan('detach');
    const report = await gc();
    const failed = report.findings.filter(({ action }) => action === 'failed');
    expect(failed.map(({ kind }) => kind)).to.include('device');
    expect(failed[0]?.error?.message).to.include('injected failure');
    expect(told(report).some((line) => line.endsWith('run/pods/q'))).to.equal(true);
    await gc();
    expect(fixture.leftovers()).to.deep.equal([]);
  });
});
