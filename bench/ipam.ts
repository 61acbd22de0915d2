import { AddressSpace, layoutOf, parseRange } from '../src/core/ipam/index.js';
import type { Contender, Scenario } from './harness/scenario.js';
import { PlainScan } from './support/plain-scan.js';

const CAPACITY = 2 ** 16 - 2;
const HOLE = '10.1.0.10';
const BEFORE_HOLE = '10.1.0.9';
const fresh = (network: string) => new AddressSpace(layoutOf({ range: parseRange(network, 'range'), reserved: [] }));
const scan = () => new PlainScan(0x0a01_0000, 2 ** 16);

/** Microseconds of one of `calls` that `run` makes. */
function perCall(name: string, calls: number, run: () => void): Contender {
  return {
    name,
    async run() {
      const start = process.hrtime.bigint();
      run();
      return Number(process.hrtime.bigint() - start) / 1_000 / calls;
    },
  };
}

const times = (count: number, body: () => void) => {
  for (let at = 0; at < count; at++) body();
};

/** Full but for a hole just behind where the search begins: it goes round the whole network, time after time. */
function worstHole(pool: { next(): unknown; release(text: string): void }): () => void {
  times(CAPACITY, () => pool.next());
  pool.release(HOLE);
  pool.next();
  return () => {
    pool.release(HOLE);
    if (pool.next() !== HOLE) throw new Error('not the hole');
  };
}

const byOwner = (space: AddressSpace) => ({
  next: () => space.next('o'),
  release: (text: string) => void space.release(text),
});

export default {
  shows: 'Allocation of addresses in memory: a whole /16, and its worst-placed hole, against a plain scan.',
  usage: '[ROUNDS]',
  place: 'host',
  timeoutMs: 60_000,
  async *comparisons({ numbers }) {
    const [rounds = 0] = numbers(9);
    yield {
      title: 'fill of a /16, per allocation',
      unit: 'µs',
      rounds,
      ours: perCall('two-level bitmap', CAPACITY, () => {
        const space = fresh('10.1.0.0/16');
        times(CAPACITY, () => space.next('o'));
      }),
      against: [
        {
          role: 'floor',
          ...perCall('plain scan of a set', CAPACITY, () => {
            const pool = scan();
            times(CAPACITY, () => pool.next());
          }),
        },
      ],
    };
    const full = fresh('10.1.0.0/16');
    const ours = worstHole(byOwner(full));
    const plain = worstHole(scan());
    yield {
      title: 'worst hole of a full /16, release and allocation',
      unit: 'µs',
      rounds,
      limit: 0.5,
      ours: perCall('two-level bitmap', 20_000, () => times(20_000, ours)),
      against: [
        { role: 'floor', target: { timesBetter: 20 }, ...perCall('plain scan of a set', 20, () => times(20, plain)) },
        {
          role: 'reference',
          ...perCall('release and allocation of an asked-for address', 20_000, () =>
            times(20_000, () => {
              full.release(BEFORE_HOLE);
              full.take(BEFORE_HOLE, 'o');
            }),
          ),
        },
      ],
    };
    const huge = fresh('fd00::/64');
    yield {
      title: 'next of a /64, per allocation',
      unit: 'µs',
      rounds: 5,
      ours: perCall('two-level bitmap', 100_000, () => times(100_000, () => huge.next('o'))),
      against: [],
    };
  },
} satisfies Scenario;
