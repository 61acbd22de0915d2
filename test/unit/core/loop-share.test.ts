import { expect } from 'chai';
import { LoopShare } from '../../../src/core/loop-share.js';

/** A turn of the event loop that is long by now. */
function work(): void {
  for (const end = performance.now() + 8; performance.now() < end; );
}

describe('LoopShare', () => {
  it('costs nothing in a turn that is not long', async () => {
    // Where others are busy any turn may be.
    const share = new LoopShare(() => 0);
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    for (let times = 0; times < 100; times++) await share.take();
    expect(turned).to.equal(false);
  });

  it('in a long turn everybody waits, and goes on in a turn of its own, in order', async () => {
    const share = new LoopShare();
    let turn = 0;
    const count = () => {
      turn += 1;
      if (turn < 50) setImmediate(count);
    };
    setImmediate(count);
    await share.take();
    work();
    const seen: number[][] = [];
    const step = async (name: number) => {
      await share.take();
      seen.push([name, turn]);
      if (name !== 2) work();
    };
    await Promise.all([step(1), step(2), step(3)]);
    expect(seen.map(([name]) => name)).to.deep.equal([1, 2, 3]);
    const turns = seen.map((each) => each[1] as number);
    expect(new Set(turns).size, String(turns)).to.equal(3);
    expect(turns[0]).to.be.greaterThan(0);
  });

  it('whoever comes while others wait is after them', async () => {
    const share = new LoopShare();
    await share.take();
    work();
    const order: string[] = [];
    const first = share.take().then(() => order.push('first'));
    const second = share.take().then(() => order.push('second'));
    await first;
    // The turn that the first was given is not long, but the second was there before.
    const third = share.take().then(() => order.push('third'));
    await Promise.all([second, third]);
    expect(order).to.deep.equal(['first', 'second', 'third']);
  });
});
