import { expect } from 'chai';
import { hasCode, isHyperplugError } from '../../../../src/core/errors.js';
import { QmpClient } from '../../../../src/plugins/qemu/qmp/client.js';
import type { QmpEvent } from '../../../../src/plugins/qemu/qmp/events.js';
import { FakeQmp, type SentCommand } from '../../../support/fake-qmp.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );

describe('QMP client', () => {
  let peer: FakeQmp;
  beforeEach(() => {
    peer = new FakeQmp();
  });
  afterEach(() => peer.close());

  it('negotiates and tells the version', async () => {
    const client = await peer.connect();
    expect(client.version).to.equal('7.2.22');
    await client.execute('a', undefined, call());
    expect(peer.commands.map(({ execute }) => execute)).to.deep.equal(['qmp_capabilities', 'a']);
    client.close();
  });

  it('matches answers by id, in whatever order they come', async () => {
    const client = await peer.connect();
    const held: SentCommand[] = [];
    peer.answer = (command) => {
      held.push(command);
      if (held.length === 3) {
        for (const each of held.reverse()) peer.send({ return: each.execute, id: each.id });
      }
      return undefined;
    };
    const answers = await Promise.all(['a', 'b', 'c'].map((name) => client.execute(name, undefined, call())));
    expect(answers).to.deep.equal(['a', 'b', 'c']);
    client.close();
  });

  it("gives QEMU's class and description", async () => {
    const client = await peer.connect();
    peer.answer = () => ({ error: { class: 'DeviceNotFound', desc: "Device 'x' not found" } });
    const error = await failure(client.execute('device_del', { id: 'x' }, call()));
    expect(hasCode(error, 'QMP_ERROR')).to.equal(true);
    expect(isHyperplugError(error) && error.details).to.deep.include({
      class: 'DeviceNotFound',
      command: 'device_del',
    });
    client.close();
  });

  it('fails every waiter when QEMU dies, with what is known of why, and sends each command once', async () => {
    const explainLoss = async () => ({ words: ': out of memory', details: { stderrTail: 'out of memory' } });
    const client = await peer.connect({ explainLoss });
    peer.answer = () => undefined;
    const waiting = ['a', 'b'].map((name) => failure(client.execute(name, undefined, call())));
    const event = failure(client.waitEvent((e): e is QmpEvent => e.name === 'STOP', call()));
    while (peer.commands.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    peer.die();
    for (const error of await Promise.all([...waiting, event])) {
      expect(hasCode(error, 'QMP_CLOSED')).to.equal(true);
      expect(String(error)).to.include('out of memory');
    }
    expect(hasCode(await failure(client.execute('c', undefined, call())), 'QMP_CLOSED')).to.equal(true);
    expect(peer.commands.map(({ execute }) => execute)).to.deep.equal(['qmp_capabilities', 'a', 'b']);
    expect(hasCode(await client.closed, 'QMP_CLOSED')).to.equal(true);
  });

  it('does not wait for ever for why', async function () {
    this.timeout(10_000);
    const client = await peer.connect({ explainLoss: () => new Promise(() => {}) });
    peer.die();
    expect(hasCode(await client.closed, 'QMP_CLOSED')).to.equal(true);
  });

  it('lets go of an aborted command, and drops its late answer', async () => {
    const client = await peer.connect();
    let late: SentCommand | undefined;
    peer.answer = (command) => {
      if (command.execute !== 'slow') return { return: 'quick' };
      late = command;
      return undefined;
    };
    expect(
      hasCode(await failure(client.execute('slow', undefined, { signal: AbortSignal.timeout(50) })), 'TIMEOUT'),
    ).to.equal(true);
    peer.send({ return: {}, id: late?.id });
    expect(await client.execute('quick', undefined, call())).to.equal('quick');
    client.close();
  });

  it('does not send with a signal that has fired', async () => {
    const client = await peer.connect();
    expect(hasCode(await failure(client.execute('a', undefined, { signal: AbortSignal.abort() })), 'ABORTED')).to.equal(
      true,
    );
    await client.execute('b', undefined, call());
    expect(peer.commands.map(({ execute }) => execute)).to.deep.equal(['qmp_capabilities', 'b']);
    client.close();
  });

  it('hears events, and stops hearing them', async () => {
    const client = await peer.connect();
    const heard: string[] = [];
    const stop = client.onEvent((event) => heard.push(event.name));
    peer.event('STOP');
    peer.event('RTC_CHANGE');
    peer.event('RESUME');
    await client.execute('a', undefined, call());
    stop();
    peer.event('STOP');
    await client.execute('a', undefined, call());
    expect(heard).to.deep.equal(['STOP', 'RESUME']);
    client.close();
  });

  for (const [what, bytes] of [
    ['garbage', 'SSH-2.0-OpenSSH\r\n'],
    ['an answer to a command that was not sent', '{"return":{},"id":99}\r\n'],
    ['an error without an id', '{"error":{"class":"GenericError","desc":"JSON parse error"}}\r\n'],
    ['a second greeting', '{"QMP":{"version":{"qemu":{"major":1,"minor":2,"micro":3}}}}\r\n'],
    ['a message that does not end', Buffer.alloc(2_000, 0x20)],
  ] as const) {
    it(`ends the connection on ${what}, with QMP_PROTOCOL for those who wait`, async () => {
      const client = await peer.connect({ maxLineBytes: 1_000 });
      peer.answer = () => undefined;
      const waiting = failure(client.execute('a', undefined, call()));
      peer.raw(bytes as string);
      expect(hasCode(await waiting, 'QMP_PROTOCOL')).to.equal(true);
      expect(hasCode(await client.closed, 'QMP_PROTOCOL')).to.equal(true);
    });
  }

  it('gives up on a peer that does not greet, and lets its socket go', async () => {
    const socket = await peer.pair();
    const connecting = QmpClient.connect(socket, {}, { signal: AbortSignal.timeout(50) });
    expect(hasCode(await failure(connecting), 'TIMEOUT')).to.equal(true);
    expect(socket.destroyed).to.equal(true);
  });
});
