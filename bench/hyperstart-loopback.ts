/**
 * How fast the agent client moves bytes, against a fake guest in the same process: no VM, no kernel, both ends' work on
 * one core.   npx tsc && node dist/bench/hyperstart-loopback.js [MiB]
 */
import { HyperstartAgent } from '../src/plugins/hyperstart/agent.js';
import { FakeAgent } from '../test/support/fake-agent/peer.js';

const mib = Number(process.argv[2] ?? 512);
const bytes = mib * 1024 * 1024;
const call = { signal: AbortSignal.timeout(600_000) };

async function measured(name: string, body: () => Promise<void>): Promise<void> {
  const begun = process.hrtime.bigint();
  await body();
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  console.log(`${name.padEnd(28)} ${Math.round(mib / seconds)} MiB/s`);
}

const fake = new FakeAgent();
const session = await new HyperstartAgent({ nicTimeoutMs: 1000 }).connect(
  { channels: fake.channels, creditWindowBytes: null, resumed: false },
  call,
);
const exec = (...argv: string[]) => session.exec({ argv, env: {}, workingDirectory: '/', terminal: false }, call);

for (let round = 0; round < 3; round += 1) {
  await measured('guest to host', async () => {
    const run = await exec('zeros', String(bytes));
    let seen = 0;
    run.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.length;
    });
    await new Promise((resolve) => run.stdout.once('end', resolve));
    if (seen !== bytes) throw new Error(`${seen} bytes came`);
  });
  await measured('host to guest', async () => {
    const run = await exec('count');
    const block = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < mib; n += 1) {
      if (!run.stdin.write(block)) await new Promise((resolve) => run.stdin.once('drain', resolve));
    }
    run.stdin.end();
    run.stdout.resume();
    await run.exited;
  });
}
await session.close();
fake.die();
