import type { Pool, PoolStatus } from '../../../src/core/template/types.js';

/** A pool in memory. */
export class FakePool implements Pool {
  readonly calls: [string, ...unknown[]][] = [];
  now: PoolStatus = { size: 0, ready: [], making: 0, totalMib: 4096, claims: 0, misses: 0, failure: null };

  async status() {
    this.calls.push(['status']);
    return this.now;
  }
  async fill({ size }: { readonly size?: number } = {}) {
    this.calls.push(['fill', size]);
    return this.now;
  }
  async drain() {
    this.calls.push(['drain']);
    return this.now;
  }
}
