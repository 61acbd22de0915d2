import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface Contender {
  readonly name: string;
  /** One run; milliseconds. */
  run(): Promise<number>;
}

/**
 * Runs contenders in turn, A B C A B C, so that a machine that gets slower does so for all. Prints medians, and the ratio
 * of the first to each other one round by round: its median and its quartiles.
 */
export async function compare(title: string, contenders: readonly Contender[], rounds: number): Promise<void> {
  const cpu = cpus()[0]?.model ?? arch();
  console.log(`${title}: ${rounds} rounds on ${cpus().length} × ${cpu}, Linux ${release()}, Node ${process.version}`);
  const times = contenders.map((): number[] => []);
  for (const contender of contenders) await contender.run(); // warm-up, not counted
  for (let round = 0; round < rounds; round++) {
    for (const [index, contender] of contenders.entries()) times[index]?.push(await contender.run());
  }
  for (const [index, { name }] of contenders.entries()) {
    const mine = times[index] ?? [];
    console.log(`  ${name}: median ${ms(quantile(mine, 0.5))}, ${ms(Math.min(...mine))} to ${ms(Math.max(...mine))}`);
  }
  const [first, ...others] = contenders;
  for (const [index, other] of others.entries()) {
    const ratios = (times[0] ?? []).map((time, round) => time / (times[index + 1]?.[round] ?? Number.NaN));
    const [low, mid, high] = [0.25, 0.5, 0.75].map((q) => quantile(ratios, q).toPrecision(3));
    console.log(`  ${first?.name} / ${other.name}: ${mid} (quartiles ${low} to ${high})`);
  }
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  return low + ((sorted[Math.ceil(place)] ?? low) - low) * (place % 1);
}

const ms = (value: number) => `${value < 20 ? value.toFixed(2) : value.toFixed(0)} ms`;

/** Milliseconds. */
export async function timed(body: () => Promise<unknown> | unknown): Promise<number> {
  const started = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - started) / 1e6;
}

const INSIDE = 'HYPERPLUG_BENCH_NAMESPACE';

/**
 * Runs the benchmark again in a network namespace of its own, which ends with it: true there, false (and it has run) outside.
 */
export async function inOwnNamespace(benchmark: string): Promise<boolean> {
  if (process.env[INSIDE] !== undefined) return true;
  const script = 'ip link set lo up && exec "$@"';
  const argv = ['--net', '--mount', 'sh', '-c', script, 'sh', process.execPath, fileURLToPath(benchmark)];
  const { status } = spawnSync('unshare', [...argv, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  process.exitCode = status ?? 1;
  return false;
}

/** First line of `cpuinfo` facts that matter to a boot. */
export const cpuinfo = () => readFileSync('/proc/cpuinfo', 'utf8');
