import { expect } from 'chai';
import { acquireLock } from '../../../../src/host/lock.js';
import { NetworkTurns } from '../../../../src/plugins/netlink/network-turns.js';
import { tempDirs } from '../../../support/temp-dir.js';

const call = () => ({ signal: AbortSignal.timeout(20_000) });

describe('turns at the lock of the networks', () => {
  const directory = tempDirs();

  it('what waits together is done together, and apart where that fails: each has its own answer', async () => {
    const turns = new NetworkTurns(`${directory()}/network.lock`);
    const done: string[][] = [];
    const batch = async (inputs: readonly string[]) => {
      done.push([...inputs]);
      if (inputs.includes('bad')) throw new Error('one of them is bad');
      return inputs.map((input) => input.toUpperCase());
    };
    const all = (...inputs: string[]) =>
      Promise.allSettled(inputs.map((input) => turns.together('test', call(), batch, input)));
    const values = (await all('a', 'b', 'c')).map((each) => each.status === 'fulfilled' && each.value);
    expect(values).to.deep.equal(['A', 'B', 'C']);
    expect((await all('d', 'bad', 'e')).map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(done).to.deep.equal([['a', 'b', 'c'], ['d', 'bad', 'e'], ['d'], ['bad'], ['e']]);
  });

  it('who waits goes with its own signal, first or not, and holds up nobody', async () => {
    const path = `${directory()}/network.lock`;
    const turns = new NetworkTurns(path);
    const lock = await acquireLock(path, call());
    const [first, second] = [new AbortController(), new AbortController()];
    const ran: string[] = [];
    const run = (name: string, signal: AbortSignal) => turns.run(name, { signal }, async () => void ran.push(name));
    const waiting = [run('first', first.signal), run('second', second.signal), run('third', call().signal)];
    const settled = Promise.allSettled(waiting);
    second.abort();
    await waiting[1]?.catch(() => {});
    first.abort();
    await waiting[0]?.catch(() => {});
    expect(ran, 'without the lock').to.deep.equal([]);
    await lock.release({ remove: true });
    expect((await settled).map(({ status }) => status)).to.deep.equal(['rejected', 'rejected', 'fulfilled']);
    expect(ran).to.deep.equal(['third']);
  });
});
