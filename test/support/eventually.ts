import { setTimeout as delay } from 'node:timers/promises';

/** Tries until `attempt` succeeds; after `timeoutMs` its last error is thrown. */
export async function eventually<T>(attempt: () => Promise<T>, timeoutMs: number): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() >= end) throw error;
      await delay(100);
    }
  }
}
