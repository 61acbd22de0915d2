import { fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseRange } from '../src/core/ipam/index.js';
import { LocalAddressPool } from '../src/plugins/local/address-pool.js';
import { LocalStateStore } from '../src/plugins/local/state-store.js';
import type { Contender, Scenario } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { TempDir } from './support/temp-dir.js';

const PAGE_BYTES = 4096;
/** So many requests at once share commits. */
const BATCH = 2_000;

/** What any durable write costs here: a page at the end of a file, and fdatasync. */
function fdatasync(directory: string): Contender {
  const fd = openSync(join(directory, 'floor'), 'w');
  const page = Buffer.alloc(PAGE_BYTES, 1);
  let at = 0;
  return {
    name: 'write of a page, fdatasync',
    run: () =>
      timed(() => {
        writeSync(fd, page, 0, PAGE_BYTES, at);
        at += PAGE_BYTES;
        fdatasyncSync(fd);
      }),
  };
}

export default {
  shows:
    'An address allocated so that it survives a crash, whatever is taken already, against one write and fdatasync.',
  usage: '[ROUNDS [TAKEN…]]',
  place: 'host',
  timeoutMs: 120_000,
  async *comparisons({ numbers, signal, args }) {
    const [rounds = 0, ...takens] = args.length > 1 ? numbers() : numbers(60, 1, 10_000, 60_000);
    using directory = new TempDir();
    const state = new LocalStateStore(join(directory.path, 'state.mdb'));
    const pool = new LocalAddressPool(state);
    const call = { signal };
    const range = parseRange('10.1.0.0/16', 'range');
    await pool.register({ range, reserved: [] }, call);
    const request = (_?: unknown, at = 0) => pool.request(range, undefined, `owner-${at}`, call);
    const floor = fdatasync(directory.path);
    let taken = 0;
    try {
      for (const wanted of takens) {
        for (; taken < wanted; taken += BATCH) {
          await Promise.all(Array.from({ length: Math.min(BATCH, wanted - taken) }, request));
        }
        yield {
          title: `one address, ${wanted} taken`,
          unit: 'ms',
          rounds,
          ours: {
            name: 'hyperplug',
            async run() {
              let address = '';
              const time = await timed(async () => {
                address = (await request()).address;
              });
              await pool.release(range, address, call);
              return time;
            },
          },
          against: [{ role: 'floor', target: { atMost: 2 }, ...floor }],
        };
      }
    } finally {
      await state.stop();
    }
  },
} satisfies Scenario;
