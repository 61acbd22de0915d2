import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds. */
export async function timed(body: () => Promise<unknown> | unknown): Promise<number> {
  const started = process.hrtime.bigint();
  await body();
  return Number(process.hrtime.bigint() - started) / 1e6;
}

/** What a run has set off in the kernel (namespaces that go, RCU) is let go before the next is timed. */
export const settle = () => delay(100);
