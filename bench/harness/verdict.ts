import type { Target } from './scenario.js';

/** `cost`: median of ours against the other's, as ratios() of costs gives it. */
export function meets(target: Target, cost: number): boolean {
  return 'atMost' in target ? cost <= target.atMost : 1 / cost >= target.timesBetter;
}
