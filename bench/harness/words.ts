import type { BenchResult, ComparisonResult, MeasuredRival, RivalResult, ScenarioResult } from './result.js';
import type { Target, Unit } from './scenario.js';

/** Three digits: `0.123`, `4.56`, `78.9`, `1234`. */
export function digits(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const whole = Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.max(0, 3 - Math.max(whole, 0)));
}

export const amount = (value: number, unit: Unit) => `${digits(value)} ${unit}`;

/** `1.04 ×`, or `17.2 × faster` where that is what is asked. Quartiles in the order in which they are read. */
export function relation({ cost, target }: MeasuredRival, unit: Unit): { median: string; spread: string } {
  if (target === undefined || 'atMost' in target) {
    return { median: `${digits(cost.median)} ×`, spread: `${digits(cost.low)} to ${digits(cost.high)}` };
  }
  const [low, high] = [1 / cost.high, 1 / cost.low];
  return {
    median: `${digits(1 / cost.median)} × ${better(unit)}`,
    spread: `${digits(low)} to ${digits(high)}`,
  };
}

const better = (unit: Unit) => (unit === 'MiB' ? 'smaller' : unit === 'failures' ? 'fewer' : 'faster');

export function asked(target: Target, unit: Unit): string {
  return 'atMost' in target ? `at most ${target.atMost} ×` : `at least ${target.timesBetter} × ${better(unit)}`;
}

export const verdict = (met: boolean | undefined) => (met === undefined ? '' : met ? 'met' : 'missed');

export const isMissing = (rival: RivalResult): rival is Extract<RivalResult, { readonly missing: string }> =>
  'missing' in rival;

/** As the terminal shows it. */
export function comparisonText({ title, unit, ours, against }: ComparisonResult): string {
  const line = (name: string, { summary, samples }: Pick<MeasuredRival, 'summary' | 'samples'>) => {
    const { median, low, high } = summary;
    const spread = samples.length > 1 ? ` (quartiles ${digits(low)} to ${digits(high)}, ${samples.length} rounds)` : '';
    return `    ${name}: ${amount(median, unit)}${spread}`;
  };
  const limit = ours.limit === undefined ? '' : `; asked at most ${amount(ours.limit, unit)}: ${verdict(ours.met)}`;
  const lines = [`  ${title}`, `${line(ours.name, ours)}${limit}`];
  for (const rival of against) {
    if (isMissing(rival)) {
      lines.push(`    ${rival.name}: skipped, ${rival.missing}`);
      continue;
    }
    const { median, spread } = relation(rival, unit);
    const wanted = rival.target ? `; asked ${asked(rival.target, unit)}: ${verdict(rival.met)}` : '';
    lines.push(line(rival.name, rival), `      ours against it: ${median} (quartiles ${spread})${wanted}`);
  }
  return lines.join('\n');
}

export function machineText({ machine, versions }: Pick<BenchResult, 'machine' | 'versions'>): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const { cpus, cpu, memoryMib, kernel } = machine;
  return `${cpus} × ${cpu}, ${memoryMib} MiB, Linux ${kernel}; ${named.join(', ')}`;
}

/** What became of its targets; '' where it has none. */
export function outcome({ skipped, failed, comparisons }: ScenarioResult): string {
  if (skipped !== undefined) return 'skipped';
  if (failed !== undefined) return 'failed';
  const verdicts = comparisons
    .flatMap(({ ours, against }) => [ours, ...against])
    .flatMap((each) => ('met' in each && each.met !== undefined ? [each.met] : []));
  if (verdicts.length === 0) return '';
  const met = verdicts.filter(Boolean).length;
  return met === verdicts.length ? 'met' : `${met} of ${verdicts.length} met`;
}
