import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { QmpClient } from '../src/plugins/qemu/qmp/client.js';
import type { Contender, Scenario } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { QEMU } from './support/bare-qemu.js';
import { BareQmp, connected } from './support/bare-qmp.js';
import { TempDir } from './support/temp-dir.js';

const COMMAND = 'query-status';

/** Commands per second. */
const rate = (name: string, count: number, body: () => Promise<unknown>): Contender => ({
  name,
  run: async () => (count / (await timed(body))) * 1000,
});

export default {
  shows:
    'QMP commands per second, one after the other and eight at once, against a bare socket that sends the same lines.',
  usage: '[ROUNDS [COMMANDS]]',
  place: 'host',
  programs: [QEMU],
  timeoutMs: 60_000,
  async *comparisons({ numbers, signal }) {
    const [rounds = 0, count = 0] = numbers(15, 400);
    using directory = new TempDir();
    const paths = ['ours', 'bare'].map((name) => join(directory.path, name));
    const monitors = paths.flatMap((path) => ['-qmp', `unix:${path},server=on,wait=off`]);
    const child = spawn(QEMU, ['-machine', 'none', '-nodefaults', '-display', 'none', ...monitors], {
      stdio: 'ignore',
    });
    try {
      const [ourPath = '', barePath = ''] = paths;
      const client = await QmpClient.connect(await connected(ourPath, signal), {}, { signal });
      const bare = await BareQmp.connect(barePath, signal);
      const inTurn = async (execute: () => Promise<unknown>) => {
        for (let at = 0; at < count; at++) await execute();
      };
      const ask = () => client.execute(COMMAND, undefined, { signal });
      const floor = rate('bare socket', count, () => inTurn(() => bare.execute(COMMAND)));
      yield {
        title: 'one after the other',
        unit: '1/s',
        rounds,
        ours: rate('hyperplug', count, () => inTurn(ask)),
        against: [{ role: 'floor', target: { atMost: 1.25 }, ...floor }],
      };
      yield {
        title: 'eight at once',
        unit: '1/s',
        rounds,
        ours: rate('hyperplug', count, async () => {
          for (let at = 0; at < count; at += 8) await Promise.all(Array.from({ length: 8 }, ask));
        }),
        against: [{ role: 'floor', ...floor, name: 'bare socket, one after the other' }],
      };
      client.close();
      bare.close();
    } finally {
      child.kill('SIGKILL');
    }
  },
} satisfies Scenario;
