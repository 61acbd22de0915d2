import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import type { PodEvent } from '../../../../src/core/pod/pods-api.js';
import { eventually } from '../../../support/eventually.js';
import { FaultyAgent, silent } from '../../../support/faulty-agent.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );
const NOTHING = { taps: [], addresses: [] };

describe('the life of a pod', function () {
  this.timeout(60_000);
  let fixture: PodFixture;
  let agent: FaultyAgent;

  beforeEach(() => {
    agent = new FaultyAgent();
    fixture = new PodFixture({ agent });
  });
  afterEach(async () => {
    agent.always = undefined;
    for (const { id } of await fixture.pods.list()) await fixture.pods.remove(id, { force: true });
    await fixture.manager.close();
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });

  const types = async (since = 0) => {
    const events: PodEvent[] = [];
    for await (const event of fixture.pods.events({ since })) events.push(event);
    return events.map(({ type }) => type);
  };
  const traces = () => fixture.traces();

  it('is made, started, stopped and started again; each is told, and what it held is free in between', async () => {
    const { pods } = fixture;
    const created = await pods.create({
      id: 'p',
      labels: { a: 'b' },
      interfaces: [{ mac: '52:54:00:00:00:07', ip: '10.90.0.9' }],
    });
    expect(created).to.deep.include({ state: 'created', pid: null, keep: true, startedAt: null, failure: null });
    expect(traces()).to.deep.equal(NOTHING);
    const started = await pods.start('p');
    expect(started).to.deep.include({ state: 'running', exit: null, addresses: ['10.90.0.9/24'] });
    expect(started.pid).to.be.a('number');
    expect(traces().taps).to.have.length(1);
    // One that runs is no error.
    expect((await pods.start('p')).pid).to.equal(started.pid);
    const stopped = await pods.stop('p');
    expect(stopped).to.deep.include({ state: 'exited', pid: null, nics: [], failure: null });
    expect(stopped.exit?.reason).to.equal('shutdown');
    expect(traces()).to.deep.equal(NOTHING);
    expect(await pods.stop('p')).to.deep.include({ state: 'exited' });
    const again = await pods.start('p');
    expect(again).to.deep.include({ state: 'running', exit: null, finishedAt: null, addresses: ['10.90.0.9/24'] });
    expect(again.nics[0]?.mac).to.equal('52:54:00:00:00:07');
    await pods.stop('p', { graceMs: 0 });
    await pods.remove('p');
    expect(await types()).to.deep.equal(['created', 'started', 'exited', 'started', 'exited', 'removed']);
    expect(hasCode(await failure(pods.inspect('p')), 'POD_NOT_FOUND')).to.equal(true);
  });

  it('what inspect() tells as spec makes the same pod', async () => {
    const { spec } = await fixture.pods.create({
      id: 'p',
      interfaces: [
        { network: 'back', ip: '10.91.0.7/24', gateway: false },
        { id: 'x', ifname: 'lo', ip: '10.9.9.9' },
      ],
      portmappings: [{ hostPort: '8080-8081', containerPort: '80-81' }],
      dns: ['9.9.9.9'],
      resource: { memory: 128 },
    });
    await fixture.pods.remove('p');
    expect((await fixture.pods.create(spec)).spec).to.deep.equal(spec);
  });

  it('pauses and resumes; paused, it is neither started nor held by another, and stops all the same', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    expect(hasCode(await failure(pods.pause('p')), 'POD_NOT_RUNNING')).to.equal(true);
    await pods.start('p');
    expect(await pods.pause('p')).to.deep.include({ state: 'paused' });
    expect(await pods.pause('p')).to.deep.include({ state: 'paused' });
    expect(hasCode(await failure(pods.start('p')), 'POD_NOT_RUNNING')).to.equal(true);
    expect(hasCode(await failure(pods.open('p')), 'POD_NOT_RUNNING')).to.equal(true);
    expect(await pods.resume('p')).to.deep.include({ state: 'running' });
    await pods.pause('p');
    expect(await pods.stop('p')).to.deep.include({ state: 'exited' });
    expect(await types()).to.deep.equal(['created', 'started', 'paused', 'resumed', 'paused', 'exited']);
  });

  it('another manager pauses, resumes and stops what nobody holds', async () => {
    await fixture.pods.create({ id: 'p' });
    await fixture.pods.start('p');
    await fixture.manager.close();
    fixture.restart();
    const { pods } = fixture;
    expect(await pods.inspect('p')).to.deep.include({ state: 'running' });
    expect(await pods.pause('p')).to.deep.include({ state: 'paused' });
    expect(await pods.resume('p')).to.deep.include({ state: 'running' });
    expect(await pods.stop('p')).to.deep.include({ state: 'exited' });
    expect(traces()).to.deep.equal(NOTHING);
  });

  it('its VM dies: it has failed, and holds nothing; whoever waits knows why', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    await pods.start('p');
    const waiting = pods.wait('p');
    fixture.guest.panic();
    const ended = await waiting;
    expect(ended).to.deep.include({ state: 'failed', nics: [] });
    expect(ended.failure).to.match(/panicked/);
    expect(traces()).to.deep.equal(NOTHING);
    expect(await types()).to.deep.equal(['created', 'started', 'failed']);
    expect(await pods.start('p')).to.deep.include({ state: 'running', failure: null });
  });

  it('its VM dies and nobody holds it: the next look sees it, and frees what it held', async () => {
    await fixture.pods.create({ id: 'p' });
    const { pid } = await fixture.pods.start('p');
    await fixture.manager.close();
    fixture.restart();
    const waiting = fixture.pods.wait('p');
    fixture.machine.signal(pid as number, 'SIGKILL');
    expect((await waiting).state).to.equal('failed');
    expect(traces()).to.deep.equal(NOTHING);
    expect(await fixture.pods.inspect('p')).to.deep.include({ state: 'failed', failure: 'its VM was found gone' });
  });

  for (const state of ['starting', 'stopping'] as const) {
    it(`its manager died ${state} it: the next look brings it to its end`, async () => {
      await fixture.pods.create({ id: 'p' });
      await fixture.pods.start('p');
      const dead = fixture.self;
      await fixture.manager.close();
      fixture.restart();
      const call = { signal: AbortSignal.timeout(10_000) };
      await fixture.store.update('p', (record) => ({ ...record, state, manager: dead }), call);
      fixture.machine.exit(dead);
      expect((await fixture.pods.list())[0]?.state).to.equal('failed');
      expect(await fixture.pods.inspect('p')).to.deep.include({ state: 'failed', nics: [], pid: null });
      expect(traces()).to.deep.equal(NOTHING);
      expect(await fixture.pods.start('p')).to.deep.include({ state: 'running' });
    });
  }

  it('a start that fails leaves it as it was, and tells who follows', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    agent.plan('startPod', async () => Promise.reject(new Error('no')));
    await failure(pods.start('p'));
    expect(await pods.inspect('p')).to.deep.include({ state: 'created', nics: [], pid: null });
    expect(traces()).to.deep.equal(NOTHING);
    expect(existsSync((await fixture.record()).runDir)).to.equal(false);
    expect(await types()).to.deep.equal(['created', 'failed']);
    expect(await pods.start('p')).to.deep.include({ state: 'running' });
  });

  it('a guest that does not power off is ended when its time is up', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    await pods.start('p');
    agent.plan('destroyPod', silent);
    const stopped = await pods.stop('p', { graceMs: 200 });
    expect(stopped).to.deep.include({ state: 'exited', failure: null });
    expect(stopped.exit?.reason).to.equal('killed');
  });

  it('restarts by its policy, later each time; not after a stop', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p', restartPolicy: 'onFailure' });
    const first = await pods.start('p');
    fixture.guest.panic();
    await eventually(async () => {
      const now = await pods.inspect('p');
      expect(now.state).to.equal('running');
      expect(now.pid).not.to.equal(first.pid);
    }, 20_000);
    await pods.stop('p');
    expect((await types()).slice(-2)).to.deep.equal(['started', 'exited']);
  });

  it('one that waits to be restarted stays stopped once it is told to, by whatever manager', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p', restartPolicy: 'always' });
    await pods.start('p');
    const first = fixture.manager;
    fixture.guest.panic();
    await eventually(async () => expect((await pods.inspect('p')).state).to.equal('failed'), 20_000);
    // Another manager, which knows nothing of the first one's timer.
    fixture.restart();
    expect(await fixture.pods.stop('p')).to.deep.include({ state: 'failed' });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((await fixture.pods.inspect('p')).state).to.equal('failed');
    // To start it is to be asked again, and its policy holds from then on.
    await fixture.pods.start('p');
    fixture.guest.panic();
    await eventually(async () => expect((await fixture.pods.inspect('p')).state).to.equal('running'), 20_000);
    await fixture.pods.stop('p');
    await first.close();
  });

  it('of two managers that would start it, one does', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p', restartPolicy: 'always' });
    await pods.start('p');
    const first = fixture.manager;
    fixture.guest.panic();
    await eventually(async () => expect((await pods.inspect('p')).state).to.equal('failed'), 20_000);
    fixture.restart();
    await fixture.pods.start('p');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((await types()).filter((type) => type === 'started')).to.have.length(2);
    await fixture.pods.stop('p');
    await first.close();
  });

  it('goes on when the clock is set back: each start is later than the one before, and waits end in their time', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    const before = (await pods.start('p')).startedAt ?? '';
    await pods.stop('p');
    const real = Date.now;
    Date.now = () => real() - 86_400_000;
    try {
      const again = (await pods.start('p')).startedAt ?? '';
      expect(Date.parse(again)).to.be.above(Date.parse(before));
      agent.always = silent;
      const begun = performance.now();
      await pods.stop('p', { graceMs: 100 });
      expect(performance.now() - begun).to.be.below(30_000);
    } finally {
      Date.now = real;
      agent.always = undefined;
    }
  });

  it('two handles of one process share it; the pod is let go of with the last', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    await pods.start('p');
    const [one, other] = await Promise.all([pods.open('p'), pods.open('p')]);
    await one?.release();
    expect((await other?.exec(['echo', 'still']))?.stdout).to.equal('still');
    await other?.release();
    expect(await pods.inspect('p')).to.deep.include({ state: 'running' });
  });

  it('is not removed while it runs, unless it is forced', async () => {
    const { pods } = fixture;
    await pods.create({ id: 'p' });
    await pods.start('p');
    expect(hasCode(await failure(pods.remove('p')), 'POD_BUSY')).to.equal(true);
    await pods.remove('p', { force: true });
    expect(traces()).to.deep.equal(NOTHING);
  });

  it('events are followed as they come, and are read again from where one was', async () => {
    const { pods } = fixture;
    const seen: string[] = [];
    const stop = new AbortController();
    const following = (async () => {
      for await (const { pod, type } of pods.events({ follow: true, signal: stop.signal, since: 0 }))
        seen.push(`${pod} ${type}`);
    })();
    await pods.create({ id: 'p' });
    await pods.create({ id: 'q' });
    await pods.remove('q');
    await eventually(async () => expect(seen).to.deep.equal(['p created', 'q created', 'q removed']), 10_000);
    stop.abort();
    expect(hasCode(await failure(following), 'ABORTED')).to.equal(true);
    expect(await types(2)).to.deep.equal(['removed']);
  });

  it('an unreadable record is neither started, removed nor forgotten', async () => {
    const call = { signal: AbortSignal.timeout(10_000) };
    const key = ['pods', 'p'];
    await fixture.state.transaction((transaction) => transaction.put(key, { version: 99 }), call);
    for (const one of ['start', 'stop', 'inspect', 'remove', 'pause', 'wait'] as const) {
      expect(hasCode(await failure(fixture.pods[one]('p')), 'STATE_VERSION'), one).to.equal(true);
    }
    expect(hasCode(await failure(fixture.pods.create({ id: 'p' })), 'POD_ALREADY_EXISTS')).to.equal(true);
    expect(await fixture.state.get(key, call)).to.deep.equal({ version: 99 });
    await fixture.state.transaction((transaction) => transaction.delete(key), call);
  });

  it('a record of version 1 is read, and removed by what it says', async () => {
    const pod = await fixture.pod({ keep: true });
    const call = { signal: AbortSignal.timeout(10_000) };
    const {
      version: _,
      startedAt,
      finishedAt,
      exit,
      failure: why,
      hostname,
      spec,
      containers,
      restarts,
      ...rest
    } = await fixture.record();
    await pod.release();
    await fixture.state.transaction(
      (transaction) => transaction.put(['pods', 'p'], { ...rest, version: 1 } as never),
      call,
    );
    expect(await fixture.pods.inspect('p')).to.deep.include({ state: 'running', spec: null, hostname: 'p' });
    await fixture.pods.stop('p');
    expect(hasCode(await failure(fixture.pods.start('p')), 'NOT_SUPPORTED')).to.equal(true);
    expect((await fixture.record()).version).to.equal(2);
  });
});
