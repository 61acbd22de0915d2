import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { isHyperplugError } from '../../../../src/core/errors.js';
import type { HeldPod } from '../../../../src/core/pod/held-pod.js';
import { encodeFrame } from '../../../../src/testing/fakes/agent/frames.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const MIB = 1 << 20;
const garbage = Buffer.alloc(64 * 1024, 0xa5);

/** What the guest's end of a channel does once it turns. */
const ATTACKS: Readonly<Record<string, (channel: Duplex) => void>> = {
  'sends garbage': (channel) => void channel.write(garbage),
  'announces a frame of 4 GiB': (channel) => void channel.write(Buffer.from('ffffffff0010', 'hex')),
  'answers calls that nobody made': (channel) => {
    for (let id = 1_000; id < 1_100; id++) channel.write(encodeFrame({ type: 'ok', id, result: {} }));
  },
  'greets in another version': (channel) => void channel.write(encodeFrame({ type: 'hello', version: 99 })),
  'floods with what is well formed': (channel) => {
    const frame = encodeFrame({ type: 'out', process: 1, stream: 'stdout' }, garbage);
    const pump = () => {
      for (let count = 0; count < 16 && !channel.destroyed; count++) channel.write(frame);
      if (!channel.destroyed) setTimeout(pump, 1);
    };
    pump();
  },
  'hangs up in the middle of a frame': (channel) => {
    channel.write(encodeFrame({ type: 'ok', id: 1, result: {} }).subarray(0, 9));
    channel.destroy();
  },
};

describe('a guest that turns on its manager', () => {
  let fixture: PodFixture;
  afterEach(() => fixture.dispose());

  for (const [what, attack] of Object.entries(ATTACKS)) {
    it(`${what}: its own pod fails its calls, another one of the same manager goes on, memory is bounded`, async () => {
      fixture = new PodFixture();
      const good = await fixture.pod({ id: 'good' });
      const bad: HeldPod = await fixture.pod({ id: 'bad' });
      const waiting = bad.exec(['sleep', '60'], { timeoutMs: 5_000 }).catch((error: unknown) => error);
      const before = process.memoryUsage().rss;
      for (const channel of guestEnds(fixture)) attack(channel);
      for (let round = 0; round < 20; round++) {
        expect((await good.exec(['echo', `${round}`])).stdout).to.equal(`${round}`);
        await delay(5);
      }
      expect(isHyperplugError(await waiting) || (await waiting) instanceof Error).to.equal(true);
      expect((process.memoryUsage().rss - before) / MIB).to.be.lessThan(300);
      await bad.remove();
      await good.remove();
      expect(fixture.leftovers()).to.deep.equal([]);
    });
  }
});

/** Of the guest that was booted last. */
function guestEnds(fixture: PodFixture): Duplex[] {
  return [...fixture.guest.openChannels];
}
