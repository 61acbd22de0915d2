import type { ComparisonResult, RivalResult } from './result.js';
import type { Comparison, Contender, Rival, Unit } from './scenario.js';
import { ratios, summarise } from './statistics.js';
import { meets } from './verdict.js';

const largerIsBetter = (unit: Unit) => unit.endsWith('/s');

/** Four digits tell all that a measurement knows. */
const rounded = (value: number) => Number(value.toPrecision(4));

/** Runs the contenders in turn, A B C A B C, so that a machine that gets slower does so for all. */
export async function compare(comparison: Comparison, signal: AbortSignal): Promise<ComparisonResult> {
  const { title, unit, rounds, ours, against, limit, warmUp = true } = comparison;
  const present = [ours, ...against.filter((rival): rival is Rival & Contender => !('missing' in rival))];
  const taken = new Map<Contender, number[]>(present.map((each) => [each, 'samples' in each ? [...each.samples] : []]));
  for (let round = warmUp ? -1 : 0; round < rounds; round++) {
    for (const contender of present) {
      if ('samples' in contender) continue;
      signal.throwIfAborted();
      const value = await contender.run();
      if (round >= 0) taken.get(contender)?.push(value);
    }
  }
  const samplesOf = (contender: Contender) => (taken.get(contender) as number[]).map(rounded);
  const mine = samplesOf(ours);
  const seen = summary(mine);
  return {
    title,
    unit,
    ours: {
      name: ours.name,
      role: 'ours',
      samples: mine,
      summary: seen,
      ...(limit !== undefined && { limit, met: seen.median <= limit }),
    },
    against: against.map((rival): RivalResult => {
      const { name, role, target } = rival;
      if ('missing' in rival) return { name, role, missing: rival.missing, ...(target && { target }) };
      const samples = samplesOf(rival);
      const cost = summary(largerIsBetter(unit) ? ratios(samples, mine) : ratios(mine, samples));
      const verdict = target && { target, met: meets(target, cost.median) };
      return { name, role, samples, summary: summary(samples), cost, ...verdict };
    }),
  };
}

function summary(values: readonly number[]) {
  const { median, low, high, min, max } = summarise(values);
  const [a, b, c, d, e] = [median, low, high, min, max].map(rounded) as [number, number, number, number, number];
  return { median: a, low: b, high: c, min: d, max: e };
}
