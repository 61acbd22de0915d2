import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { hasCode, isHyperplugError } from '../../../../src/core/errors.js';
import { HyperstartAgent } from '../../../../src/plugins/hyperstart/agent.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { encodeStreamHeader } from '../../../../src/plugins/hyperstart/stream-codec.js';
import type { FakeAgent, FakeAgentOptions } from '../../../support/fake-agent/peer.js';
import { HyperstartGuest } from '../../../support/hyperstart-guest.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const MIB = 1 << 20;
const garbage = Buffer.alloc(64 * 1024, 0xa5);

/** What a guest does once its pod runs. */
const ATTACKS: Readonly<Record<string, (guest: FakeAgent) => void>> = {
  'sends garbage as control messages': ({ control }) => void control.write(garbage),
  'sends garbage as streams': ({ streams }) => void streams.write(garbage),
  'announces a control message of 4 GiB': ({ control }) => void control.write(Buffer.from('00000009ffffffff', 'hex')),
  'answers calls that nobody made': (guest) => {
    for (let id = 1_000; id < 6_000; id++) guest.ack(id);
  },
  "answers every call with another one's id": (guest) => {
    guest.intercept = (_code, id, body) => {
      guest.ack(id + 1, body);
      return true;
    };
  },
  'answers nothing': (guest) => {
    guest.intercept = () => true;
  },
  'floods streams that are not open': (guest) => {
    const pump = () => {
      for (let count = 0; count < 16 && !guest.streams.destroyed; count++) {
        guest.streams.write(encodeStreamHeader(9_999, 32 * 1024));
        guest.streams.write(garbage.subarray(0, 32 * 1024));
      }
      if (!guest.streams.destroyed) setTimeout(pump, 1);
    };
    pump();
  },
  'tells of the end of processes that are not': (guest) => {
    for (let count = 0; count < 10_000; count++) guest.event(`nobody-${count}`, { status: 0 });
  },
  'hangs up': (guest) => guest.die(),
};

describe("a guest that lies in hyperstart's own protocol", () => {
  let fixture: PodFixture;
  const guests = new Map<string, HyperstartGuest>();

  function machine(bad: FakeAgentOptions = {}, turn: (guest: FakeAgent) => void = () => {}): void {
    guests.clear();
    fixture = new PodFixture({
      agent: new HyperstartAgent({ nicTimeoutMs: 200 }),
      guest: (id) => {
        const guest = new HyperstartGuest(id === 'bad' ? bad : {});
        guests.set(id, guest);
        if (id === 'bad') turn(guest.agent);
        return guest;
      },
    });
  }
  afterEach(() => {
    for (const { agent } of guests.values()) agent.die();
    fixture.dispose();
  });

  const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);
  const agentOf = (id: string) => (guests.get(id) as HyperstartGuest).agent;

  for (const [what, attack] of Object.entries(ATTACKS)) {
    it(`${what}: its own pod alone is harmed, memory is bounded, and nothing is left`, async () => {
      machine();
      const good = await fixture.pod({ id: 'good' });
      const bad = await fixture.pod({ id: 'bad' });
      const waiting = outcome(bad.exec(['cat'], { timeoutMs: 800, input: 'x' }));
      await delay(5);
      const before = process.memoryUsage().rss;
      attack(agentOf('bad'));
      const asked = outcome(bad.nics.add({ network: 'back' }, { timeoutMs: 500 }));
      for (let round = 0; round < 10; round++) {
        expect((await good.exec(['print', `${round}`, ''])).stdout).to.equal(`${round}`);
        await delay(5);
      }
      await good.nics.add({ network: 'back' });
      expect(await good.nics.read()).to.have.length(2);
      // Whatever came of it, it came to an end.
      await waiting;
      await asked;
      expect((process.memoryUsage().rss - before) / MIB).to.be.lessThan(300);
      await bad.remove();
      expect((await good.exec(['print', 'still', ''])).stdout).to.equal('still');
      await good.remove();
      expect(fixture.leftovers()).to.deep.equal([]);
    });
  }

  it('says of a NIC what is not so: that pod is not made, says what differs, and leaves nothing', async () => {
    machine({ lie: (link) => ({ ...link, mtu: 576, addresses: [] }) });
    const good = await fixture.pod({ id: 'good' });
    const error = await outcome(fixture.pod({ id: 'bad' }));
    expect(hasCode(error, 'AGENT_REFUSED', 'AGENT_PROTOCOL'), String(error)).to.equal(true);
    expect(isHyperplugError(error) && error.message).to.match(/mtu|address/i);
    expect((await good.exec(['print', 'still', ''])).stdout).to.equal('still');
    await good.remove();
    expect(fixture.leftovers()).to.deep.equal([]);
  });

  it('has another network than it acknowledged: that pod is not made, and leaves nothing', async () => {
    machine({}, (guest) => {
      guest.intercept = (code, id) => {
        if (code !== COMMAND.GETNETWORK) return false;
        guest.ack(id, { links: [], routes: [] });
        return true;
      };
    });
    const good = await fixture.pod({ id: 'good' });
    const error = await outcome(fixture.pod({ id: 'bad' }));
    expect(hasCode(error, 'AGENT_REFUSED', 'AGENT_PROTOCOL'), String(error)).to.equal(true);
    expect((await good.exec(['print', 'still', ''])).stdout).to.equal('still');
    await good.remove();
    expect(fixture.leftovers()).to.deep.equal([]);
  });
});
