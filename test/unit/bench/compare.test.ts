import { expect } from 'chai';
import { compare } from '../../../bench/harness/compare.js';
import type { MeasuredRival } from '../../../bench/harness/result.js';
import type { Comparison, Contender, Role, Target } from '../../../bench/harness/scenario.js';

const never = new AbortController().signal;

/** Says these, one in each run, and who was asked to whom. */
function says(name: string, values: readonly number[], log: string[] = []): Contender {
  let at = 0;
  return {
    name,
    async run() {
      log.push(name);
      return values[at++] ?? expect.fail(`${name} ran too often`);
    },
  };
}

const rival = (contender: Contender, target?: Target, role: Role = 'floor') => ({
  role,
  ...contender,
  ...(target && { target }),
});

const comparison = (parts: Partial<Comparison>): Comparison => ({
  title: 't',
  unit: 'ms',
  rounds: 2,
  ours: says('ours', [9, 2, 4]),
  against: [],
  ...parts,
});

const measured = (result: unknown) => result as MeasuredRival;

describe('a comparison', () => {
  it('runs its contenders in turn, once uncounted', async () => {
    const log: string[] = [];
    const parts = { ours: says('ours', [9, 2, 4], log), against: [rival(says('floor', [9, 1, 1], log))] };
    const { ours, against } = await compare(comparison(parts), never);
    expect(log).to.deep.equal(['ours', 'floor', 'ours', 'floor', 'ours', 'floor']);
    expect(ours.samples).to.deep.equal([2, 4]);
    expect(measured(against[0]).samples).to.deep.equal([1, 1]);
  });

  it('runs each so often as there are rounds without a warm-up', async () => {
    const { ours } = await compare(comparison({ warmUp: false, ours: says('ours', [1, 2]) }), never);
    expect(ours.samples).to.deep.equal([1, 2]);
  });

  it('takes the ratio of each round, not of the medians', async () => {
    const parts = { rounds: 3, ours: says('ours', [0, 10, 2, 30]), against: [rival(says('floor', [0, 1, 2, 10]))] };
    const [floor] = (await compare(comparison(parts), never)).against;
    expect(measured(floor).cost).to.deep.equal({ median: 3, low: 2, high: 6.5, min: 1, max: 10 });
  });

  it('takes for cost what is to be small: of rates the other way round', async () => {
    const parts = {
      unit: 'MiB/s' as const,
      ours: says('ours', [0, 50, 50]),
      against: [rival(says('f', [0, 100, 100]))],
    };
    expect(measured((await compare(comparison(parts), never)).against[0]).cost.median).to.equal(2);
  });

  for (const [target, cost, met] of [
    [{ atMost: 1.25 }, 1.25, true],
    [{ atMost: 1.25 }, 1.26, false],
    [{ timesBetter: 5 }, 0.2, true],
    [{ timesBetter: 5 }, 0.21, false],
  ] as const) {
    it(`${met ? 'meets' : 'misses'} ${JSON.stringify(target)} at ${cost} times the cost`, async () => {
      const parts = { ours: says('ours', [0, cost, cost]), against: [rival(says('f', [0, 1, 1]), target)] };
      const result = measured((await compare(comparison(parts), never)).against[0]);
      expect(result.target).to.deep.equal(target);
      expect(result.met).to.equal(met);
    });
  }

  it('holds the median of ours against its limit', async () => {
    expect((await compare(comparison({ limit: 3 }), never)).ours.met).to.equal(true);
    expect((await compare(comparison({ limit: 2.9, ours: says('o', [0, 2, 4]) }), never)).ours.met).to.equal(false);
  });

  it('names who is missing, and measures the others', async () => {
    const absent = { name: 'libvirt', role: 'peer' as const, missing: 'not installed', target: { timesBetter: 5 } };
    const { against } = await compare(comparison({ against: [absent, rival(says('f', [1, 1, 1]))] }), never);
    expect(against[0]).to.deep.equal(absent);
    expect(measured(against[1]).cost.median).to.equal(3);
  });

  it('takes samples that were taken already', async () => {
    const parts = { ours: { name: 'o', samples: [1, 3] }, against: [rival({ name: 'f', samples: [2, 2] })] };
    const { ours, against } = await compare(comparison(parts), never);
    expect(ours.summary.median).to.equal(2);
    expect(measured(against[0]).cost.median).to.equal(1);
  });

  it('ends when its time is over', async () => {
    const over = AbortSignal.abort(new Error('too late'));
    const error = await compare(comparison({}), over).catch((reason: unknown) => reason);
    expect(String(error)).to.contain('too late');
  });
});
