export interface Summary {
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
  readonly min: number;
  readonly max: number;
}

/** Linear between the two values around the place `q` (0 to 1) of the sorted ones. NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  return low + ((sorted[Math.ceil(place)] ?? low) - low) * (place % 1);
}

export function summarise(values: readonly number[]): Summary {
  const [low, median, high] = [0.25, 0.5, 0.75].map((q) => quantile(values, q)) as [number, number, number];
  return { median, low, high, min: Math.min(...values), max: Math.max(...values) };
}

/** One by one: a machine that was slow in one round was so for both. Of different lengths, as many as both have. */
export function ratios(dividends: readonly number[], divisors: readonly number[]): number[] {
  const rounds = Math.min(dividends.length, divisors.length);
  return Array.from({ length: rounds }, (_, round) => (dividends[round] as number) / (divisors[round] as number));
}
