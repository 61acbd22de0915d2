/** A process of its own over a state store; driven by test/host/state-store.test.ts. Arguments: what, path, count, serves. */

import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseRange } from '../../src/core/ipam/index.js';
import type { JsonValue } from '../../src/core/json.js';
import { LocalAddressPool } from '../../src/plugins/local/address-pool.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';

const [what, path = '', count = '0', serves] = process.argv.slice(2);
const store = new LocalStateStore(path);
if (serves) store.serve();
const call = () => ({ signal: AbortSignal.timeout(120_000) });

/** One counter and two records that must always agree with it. */
const step = () =>
  store.transaction((transaction) => {
    const next = ((transaction.get(['counter']) as number | undefined) ?? 0) + 1;
    transaction.put(['pair', 'a'], { next, filler: 'x'.repeat(next % 3_000) });
    transaction.put(['counter'], next);
    transaction.put(['pair', 'b'], { next });
    return next;
  }, call());

switch (what) {
  case 'increment': {
    for (let done = 0; done < Number(count); done++) await step();
    break;
  }
  case 'forever': {
    console.log('started');
    for (;;) console.log(await step());
  }
  case 'addresses': {
    const pool = new LocalAddressPool(store);
    const range = parseRange('10.77.0.0/22', 'range');
    await pool.register({ range, reserved: [parseRange('10.77.0.1/32', 'gateway').getFirst()] }, call());
    const given: string[] = [];
    for (let done = 0; done < Number(count); done++) {
      const { address } = await pool.request(range, undefined, `process ${process.pid}`, call());
      given.push(address);
      if (done % 3 === 2) {
        const back = given.shift() as string;
        if (!(await pool.release(range, `${back}/22`, call()))) throw new Error(`${back} was not ours`);
      }
    }
    console.log(JSON.stringify(given));
    break;
  }
  case 'fill': {
    let written = 0;
    const outcome: JsonValue[] = [];
    try {
      for (; written < 10_000; written++) {
        await store.transaction((transaction) => {
          transaction.put(['fill', `${written}`], 'y'.repeat(2_000));
          transaction.put(['last'], written);
        }, call());
      }
    } catch (error) {
      const { code, message } = error as Error & { code: string };
      outcome.push({ code, message });
    }
    outcome.push((await store.get(['last'], call())) ?? null, (await store.list(['fill'], call())).length, written);
    rmSync(join(dirname(path), '..', 'ballast'));
    await store.transaction((transaction) => {
      for (const { key } of transaction.list(['fill']).slice(0, 50)) transaction.delete(key);
    }, call());
    await step();
    outcome.push((await store.get(['counter'], call())) ?? null);
    console.log(JSON.stringify(outcome));
    break;
  }
  case 'get': {
    try {
      console.log(JSON.stringify((await store.get(['counter'], call())) ?? null));
    } catch (error) {
      console.log((error as { code: string }).code, (error as Error).message);
    }
    break;
  }
  default:
    throw new Error(`unknown: ${what}`);
}
await store.stop();
