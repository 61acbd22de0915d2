import { expect } from 'chai';
import fc from 'fast-check';
import type { GuestSession } from '../../../../src/core/agent.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { encodeStreamHeader } from '../../../../src/plugins/hyperstart/stream-codec.js';
import type { FakeAgent } from '../../../support/fake-agent/peer.js';
import { rejects } from '../../../support/rejects.js';
import { calls, command, connect } from './connect.js';
import { sessionGarbage } from './session-properties.js';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('hyperstart session with a hostile guest', () => {
  let fake: FakeAgent;
  let session: GuestSession;

  beforeEach(async () => {
    ({ fake, session } = await connect());
  });

  afterEach(async () => {
    await session.close();
    fake.die();
  });

  /** The session ends, waiting calls with it, and says what the guest did. */
  async function cutOff(...words: string[]): Promise<void> {
    const error = await session.closed;
    expect(error).to.have.property('code', 'AGENT_PROTOCOL');
    for (const word of words) expect(error.message).to.include(word);
    const later = await rejects(session.ping(calls()), 'AGENT_CLOSED');
    expect(later.cause).to.equal(error);
    for (const channel of fake.channels) expect(channel.destroyed).to.equal(true);
  }

  async function running() {
    const process = await session.exec(command('sleep'), calls());
    return { process, entry: [...fake.processes.values()].at(-1)! };
  }

  it('is cut off for a control message that is too long', async () => {
    const waiting = running().then(({ process }) => rejects(process.exited, 'AGENT_CLOSED'));
    fake.control.write(Buffer.from('00000009ffffffff', 'hex'));
    await cutOff('length');
    await waiting.catch(() => {});
  });

  it('is cut off for a stream message that is too long', async () => {
    fake.streams.write(encodeStreamHeader(1, 32 * 1024 + 1));
    await cutOff('stream message', 'length');
  });

  it('is cut off for data beyond its credit', async () => {
    const { entry } = await running();
    for (let n = 0; n < 12; n += 1) void fake.output(entry.stdio, Buffer.alloc(32 * 1024));
    await cutOff('more than it had credit for');
  });

  it('is cut off for credit beyond what there is', async () => {
    const { entry } = await running();
    fake.credit(entry.stdio, 1);
    await cutOff('credit of 262145');
  });

  it('is cut off for a status, or an answer, of the wrong type', async () => {
    const { process } = await running();
    fake.event(process.id, { status: 256 });
    await cutOff('status');
  });

  const bodies: [string, Buffer][] = [
    ['no JSON', Buffer.from('{')],
    ['a string for the MTU', json({ name: 'eth0', index: 1, mac: '', mtu: '1', up: true, addresses: [] })],
    ['no link', json([])],
    ['a name longer than any', json({ name: 'x'.repeat(16), index: 1, mac: '', mtu: 1, up: true, addresses: [] })],
  ];
  for (const [what, body] of bodies) {
    it(`is cut off for ${what} in an answer, and the call says so`, async () => {
      fake.intercept = (code, id) => {
        if (code === COMMAND.SETUPINTERFACE) fake.ack(id, body);
        return code === COMMAND.SETUPINTERFACE;
      };
      const nic = { mac: '52:54:00:00:00:01', expectedName: 'eth0', addAddresses: [], removeAddresses: [] };
      await rejects(session.setupInterface(nic, calls()), 'AGENT_PROTOCOL', 'setupInterface');
      await cutOff('setupInterface');
    });
  }

  it('is cut off for an ERROR that is none', async () => {
    fake.intercept = (_code, id) => {
      fake.send(COMMAND.ERROR, id, Buffer.from('[]'));
      return true;
    };
    await rejects(session.ping(calls()), 'AGENT_CLOSED');
    await cutOff('ping');
  });

  it('is cut off for answers to nothing, when they are many', async () => {
    for (let n = 0; n < 65; n += 1) fake.ack(0xfff0_0000 + n);
    await cutOff('too many messages that mean nothing');
  });

  it('is cut off for bytes without end on streams that are not open', async () => {
    const block = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < 17; n += 1) await Promise.race([fake.output(77, block), session.closed]);
    await cutOff('not open');
  });

  it('is overheard in events of processes and streams that are not ours', async () => {
    for (let n = 0; n < 1000; n += 1) {
      fake.event(`other-${n}`, { status: 0 });
      fake.outputEnd(1_000_000 + n);
      fake.credit(1_000_000 + n, 0xffff_ffff);
    }
    await session.ping(calls());
  });

  it('takes a quarter of a million messages of one byte that nobody reads', async () => {
    const { process, entry } = await running();
    const message = Buffer.concat([encodeStreamHeader(entry.stdio, 1), Buffer.alloc(1)]);
    const many = Buffer.concat(Array.from({ length: 4096 }, () => message));
    for (let n = 0; n < 60; n += 1) {
      if (!fake.streams.write(Buffer.from(many))) await new Promise((resolve) => fake.streams.once('drain', resolve));
    }
    await session.ping(calls());
    const { heldBytes } = process.stdout as unknown as { heldBytes: number };
    expect(heldBytes).to.equal(60 * 4096);
  });

  it('cannot put control characters into messages', async () => {
    fake.intercept = (_code, id) => {
      fake.refuse(id, { code: 'INVALID', reason: `a\u001b[2Jb\n${'x'.repeat(2000)}` });
      return true;
    };
    const { message } = await rejects(session.ping(calls()), 'AGENT_REFUSED');
    expect(message).to.match(/^ping: a \[2Jb x+…$/);
    expect(message.length).to.be.below(1100);
  });

  it('may end the session, and the reason reaches those who wait', async () => {
    const { process } = await running();
    fake.send(COMMAND.ERROR, 0, json({ code: 'INVALID', reason: 'a length below the header' }));
    await rejects(process.exited, 'AGENT_CLOSED', 'a length below the header');
  });

  it('an original is cut off for an answer to nothing and for codes that it never sends', async () => {
    for (const code of [COMMAND.ACK, COMMAND.ERROR, COMMAND.CREDIT, 99]) {
      const original = await connect({ original: true });
      original.fake.send(code, 0);
      expect(await original.session.closed).to.have.property('code', 'AGENT_PROTOCOL');
      await original.session.close();
      original.fake.die();
    }
  });
});

describe('hyperstart session with garbage', () => {
  for (const original of [false, true]) {
    it(`settles every call (${original ? 'original' : 'extension'})`, () =>
      fc.assert(sessionGarbage(original), { numRuns: 100 }));
  }
});
