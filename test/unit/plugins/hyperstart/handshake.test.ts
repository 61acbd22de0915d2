import { expect } from 'chai';
import { encodeControl } from '../../../../src/plugins/hyperstart/control-codec.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { encodeStreamHeader } from '../../../../src/plugins/hyperstart/stream-codec.js';
import { FakeAgent, type FakeAgentOptions } from '../../../support/fake-agent/peer.js';
import { rejects } from '../../../support/rejects.js';
import { calls, command, connect, newAgent, outcome } from './connect.js';

const connecting = (fake: FakeAgent, { resumed = false, signal = calls().signal } = {}) =>
  newAgent().connect({ channels: fake.channels, creditWindowBytes: null, resumed }, { signal });

function destroyed(fake: FakeAgent): void {
  for (const channel of fake.channels) expect(channel.destroyed).to.equal(true);
}

describe('hyperstart handshake', () => {
  it('refuses another version, and closes the channels', async () => {
    const fake = new FakeAgent({ version: 4243 });
    await rejects(connecting(fake), 'AGENT_VERSION', 'expected 4244, got 4243');
    destroyed(fake);
  });

  it('refuses an answer with another nonce', async () => {
    const fake = new FakeAgent({ nonce: '0123456789abcdef' });
    await rejects(connecting(fake), 'AGENT_PROTOCOL', 'nonce');
    destroyed(fake);
  });

  it('refuses what is not READY', async () => {
    const fake = new FakeAgent({ resumed: true });
    fake.control.write(encodeControl(COMMAND.ACK));
    await rejects(connecting(fake), 'AGENT_PROTOCOL', 'expected READY');
    destroyed(fake);
  });

  it('ends with the deadline, and closes the channels', async () => {
    const fake = new FakeAgent({ resumed: true });
    await rejects(connecting(fake, { signal: AbortSignal.timeout(20) }), 'TIMEOUT', 'waiting until it is ready');
    destroyed(fake);
    const aborted = new FakeAgent();
    await rejects(connecting(aborted, { signal: AbortSignal.abort() }), 'ABORTED');
    destroyed(aborted);
  });

  it('ends when a channel dies', async () => {
    const fake = new FakeAgent({ resumed: true });
    const connected = connecting(fake);
    fake.die();
    await rejects(connected, 'AGENT_CLOSED');
    destroyed(fake);
    await rejects(connecting(fake), 'AGENT_CLOSED', 'closed already');
  });

  it('waits for a READY that is late', async () => {
    const fake = new FakeAgent({ resumed: true });
    const connected = connecting(fake);
    await new Promise((resolve) => setTimeout(resolve, 20));
    fake.control.write(encodeControl(COMMAND.READY));
    const session = await connected;
    await session.close();
    fake.die();
  });

  const stale: [string, FakeAgentOptions][] = [
    ['nothing', {}],
    ['a READY', { staleControl: encodeControl(COMMAND.READY) }],
    [
      'the rest of a message, whole ones, and the answer of another session',
      {
        staleControl: Buffer.concat([
          Buffer.from('"finished","status":0}'),
          encodeControl(COMMAND.ACK, Buffer.alloc(4)),
          encodeControl(
            COMMAND.ACK,
            Buffer.from('00001094', 'hex'),
            Buffer.from('{"hyperplug":1,"agent":"x","nonce":"0123456789abcdef"}'),
          ),
          encodeControl(COMMAND.NEXT, Buffer.alloc(12)).subarray(0, 13),
        ]),
        staleStreams: Buffer.concat([
          Buffer.from('half of something'),
          encodeStreamHeader(1, 5),
          Buffer.from('hello'),
          encodeStreamHeader(2, 30_000),
          Buffer.alloc(100),
        ]),
      },
    ],
    ['a megabyte', { staleControl: Buffer.alloc(1 << 20, 9), staleStreams: Buffer.alloc(1 << 20, 0) }],
  ];
  for (const [what, options] of stale) {
    it(`resumes behind ${what}`, async () => {
      const { fake, session } = await connect({ ...options, resumed: true }, { resumed: true });
      expect(session.features.streamCredit).to.equal(true);
      const process = await session.exec(command('echo', 'again'), calls());
      expect((await outcome(process)).stdout).to.equal('again\n');
      expect([...fake.processes.keys()]).to.deep.equal([]);
      await session.close();
      fake.die();
    });
  }

  it('resumes with an original, behind stale control messages', async () => {
    const { fake, session } = await connect(
      { original: true, resumed: true, staleControl: encodeControl(COMMAND.ACK) },
      { resumed: true },
    );
    expect(session.description).to.equal('hyperstart 4244');
    const process = await session.exec(command('echo', 'again'), calls());
    expect((await outcome(process)).stdout).to.equal('again\n');
    await session.close();
    fake.die();
  });

  it('a resumed session takes ids and sequences that the one before had not', async () => {
    const seen = new Set<number>();
    for (const resumed of [false, true, true]) {
      const { fake, session } = await connect({ resumed }, { resumed });
      const process = await session.exec(command('sleep'), calls());
      const [entry] = fake.processes.values();
      expect(seen.has(entry!.stdio)).to.equal(false);
      seen.add(entry!.stdio).add(entry!.stderr);
      expect(process.id).to.include(fake.nonce);
      await session.close();
      fake.die();
    }
  });
});
