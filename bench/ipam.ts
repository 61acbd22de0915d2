/**
 * Address allocation against a plain scan, in one process: `node dist/bench/ipam.js`. The ratios are what to read; the
 * absolute times are this machine's at this moment.
 */
import { cpus } from 'node:os';
import { AddressSpace, layoutOf, parseRange } from '../src/core/ipam/index.js';

/** The original's way: one address after the other, by its text, until one is not in the set. */
class PlainScan {
  readonly #taken = new Set<string>();
  #last = 0;
  constructor(
    private readonly base: number,
    private readonly size: number,
  ) {}

  next(): string {
    for (let tried = 0; tried < this.size - 2; tried++) {
      this.#last = this.#last >= this.size - 2 ? 1 : this.#last + 1;
      const value = this.base + this.#last;
      const text = `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
      if (this.#taken.has(text)) continue;
      this.#taken.add(text);
      return text;
    }
    throw new Error('exhausted');
  }

  release(text: string): void {
    this.#taken.delete(text);
  }
}

/** Median over `rounds` of the time of one call, in microseconds. */
function perCall(rounds: number, calls: number, run: () => void): number {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint();
    run();
    times.push(Number(process.hrtime.bigint() - start) / 1_000 / calls);
  }
  return times.sort((one, other) => one - other)[rounds >> 1] as number;
}

const CAPACITY = 2 ** 16 - 2;
const HOLE = '10.1.0.10';
const BEFORE_HOLE = '10.1.0.9';
const fresh = (network: string) => new AddressSpace(layoutOf({ range: parseRange(network, 'range'), reserved: [] }));
const scan = () => new PlainScan(0x0a01_0000, 2 ** 16);

const row = (what: string, ours: number, plain?: number) => {
  const ratio = plain === undefined ? '' : `  plain scan ${plain.toFixed(2)} µs  ratio ${(plain / ours).toFixed(1)}`;
  console.log(`${what.padEnd(52)} ${ours.toFixed(3)} µs${ratio}`);
};

console.log(`node ${process.version}, ${cpus()[0]?.model ?? 'unknown CPU'}`);

const fill = perCall(7, CAPACITY, () => {
  const space = fresh('10.1.0.0/16');
  for (let count = 0; count < CAPACITY; count++) space.next('o');
});
const plainFill = perCall(7, CAPACITY, () => {
  const pool = scan();
  for (let count = 0; count < CAPACITY; count++) pool.next();
});
row('fill of a /16, per allocation', fill, plainFill);

/** The hole that was just given is released, so the next search has to go once round a full network. */
function worstHole(space: AddressSpace, rounds: number): number {
  for (let count = 0; count < CAPACITY; count++) space.next('o');
  space.release(HOLE);
  space.next('o');
  const both = perCall(9, rounds, () => {
    for (let round = 0; round < rounds; round++) {
      space.release(HOLE);
      if (space.next('o') !== HOLE) throw new Error('wrong hole');
    }
  });
  const releaseAndTake = perCall(9, rounds, () => {
    for (let round = 0; round < rounds; round++) {
      space.release(BEFORE_HOLE);
      space.take(BEFORE_HOLE, 'o');
    }
  });
  row('  (release and asked-for address, for comparison)', releaseAndTake);
  return both;
}
const plainHole = (() => {
  const pool = scan();
  for (let count = 0; count < CAPACITY; count++) pool.next();
  pool.release(HOLE);
  pool.next();
  return perCall(5, 20, () => {
    for (let round = 0; round < 20; round++) {
      pool.release(HOLE);
      pool.next();
    }
  });
})();
row('worst hole of a full /16, release and allocation', worstHole(fresh('10.1.0.0/16'), 20_000), plainHole);

const layout = layoutOf({ range: parseRange('10.1.0.0/16', 'range'), reserved: [] });
const alone = new AddressSpace(layout);
for (let count = 0; count < CAPACITY; count++) alone.next('o');
let total = 0n;
const ROUNDS = 20_000;
for (let round = 0; round < ROUNDS; round++) {
  alone.release(HOLE);
  const start = process.hrtime.bigint();
  alone.next('o');
  total += process.hrtime.bigint() - start;
}
row('worst hole of a full /16, allocation alone (with clock)', Number(total) / 1_000 / ROUNDS);

const huge = fresh('fd00::/64');
const HUGE_CALLS = 100_000;
row(
  'next of a /64, per allocation',
  perCall(5, HUGE_CALLS, () => {
    for (let count = 0; count < HUGE_CALLS; count++) huge.next('o');
  }),
);
