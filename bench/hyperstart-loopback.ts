import { HyperstartAgent } from '../src/plugins/hyperstart/agent.js';
import { FakeAgent } from '../test/support/fake-agent/peer.js';
import type { Scenario } from './harness/scenario.js';
import { socketPair } from './support/socket-pair.js';
import { drain, MIB, pour, throughput } from './support/streams.js';
import { TempDir } from './support/temp-dir.js';

export default {
  shows:
    "How fast the agent's client moves bytes, against a bare unix socket: a fake guest in the same process, so both ends' work is on one core, and no VM in it.",
  usage: '[ROUNDS [MIB]]',
  place: 'host',
  timeoutMs: 120_000,
  async *comparisons({ numbers, signal }) {
    const [rounds = 0, mib = 0] = numbers(5, 128);
    const bytes = mib * MIB;
    const call = { signal };
    using directory = new TempDir();
    const [near, far] = await socketPair(directory.path);
    const fake = new FakeAgent();
    const agent = new HyperstartAgent({ nicTimeoutMs: 1000 });
    const session = await agent.connect({ channels: fake.channels, creditWindowBytes: null, resumed: false }, call);
    const exec = (...argv: string[]) => session.exec({ argv, env: {}, workingDirectory: '/', terminal: false }, call);
    const bare = {
      name: 'unix socket',
      role: 'floor' as const,
      run: () => throughput(bytes, () => Promise.all([pour(near, bytes), drain(far, bytes)])),
    };
    try {
      yield {
        title: 'guest to host',
        unit: 'MiB/s',
        rounds,
        ours: {
          name: 'hyperstart session',
          run: () =>
            throughput(bytes, async () => {
              const { stdout } = await exec('zeros', String(bytes));
              await drain(stdout, bytes);
            }),
        },
        against: [bare],
      };
      yield {
        title: 'host to guest',
        unit: 'MiB/s',
        rounds,
        ours: {
          name: 'hyperstart session',
          run: () =>
            throughput(bytes, async () => {
              const { stdin, stdout, exited } = await exec('count');
              await pour(stdin, bytes, MIB);
              stdin.end();
              stdout.resume();
              await exited;
            }),
        },
        against: [bare],
      };
    } finally {
      await session.close();
      fake.die();
      near.destroy();
      far.destroy();
    }
  },
} satisfies Scenario;
