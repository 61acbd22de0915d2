import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { daemonProcess, manyPods } from '../test/support/many-pods.js';
import { TestNamespace } from '../test/support/netns.js';
import type { Scenario } from './harness/scenario.js';

const CLIENTS = 8;
const SERIES = [
  'createMs',
  'removeMs',
  'loopP99Ms',
  'loopMaxMs',
  'busyP99Ms',
  'idleP99Ms',
  'podRssMib',
  'left',
] as const;
type Series = Record<(typeof SERIES)[number], number[]>;

/** What this machine does to any process: one that only looks at the clock. */
function idleProcess(): () => Promise<number> {
  const script = `
    const histogram = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 2 });
    histogram.enable();
    process.stdin.resume().once('end', () => console.log(Math.max(0, histogram.percentile(99) / 1e6 - 2)));
  `;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  return async () => {
    child.stdin.end();
    return Number(await said);
  };
}

async function round(count: number, series: Series): Promise<void> {
  const namespace = new TestNamespace();
  try {
    const daemon = await daemonProcess(namespace.path);
    const idle = idleProcess();
    const before = daemon.rssMib();
    let running = before;
    const { createMs, removeMs } = await manyPods(daemon.socketPath, { count, clients: CLIENTS }, async () => {
      running = daemon.rssMib();
    });
    const { loop, busyP99Ms, leftovers } = await daemon.stop();
    series.createMs.push(createMs / count);
    series.removeMs.push(removeMs / count);
    series.loopP99Ms.push(loop.p99);
    series.loopMaxMs.push(loop.max);
    series.busyP99Ms.push(busyP99Ms);
    series.idleP99Ms.push(await idle());
    series.podRssMib.push((running - before) / count);
    series.left.push(leftovers.length);
  } finally {
    namespace.delete();
  }
}

export default {
  shows:
    'Pods through the daemon, 50 by eight clients at once, on real bridges, taps and rules (VMs and guests are objects in memory): time of each, how late the event loop was, memory of the manager per pod.',
  usage: '[PODS [ROUNDS]]',
  place: 'own',
  timeoutMs: 170_000,
  async *comparisons({ numbers }) {
    const [count = 0, rounds = 0] = numbers(50, 3);
    const series = Object.fromEntries(SERIES.map((name) => [name, []])) as unknown as Series;
    for (let at = 0; at < rounds; at++) await round(count, series);
    const title = `${count} pods by ${CLIENTS} clients`;
    const of = (name: keyof Series, words: string) => ({ name: words, samples: series[name] });
    const common = { rounds, warmUp: false };
    yield {
      ...common,
      title: `${title}: a pod`,
      unit: 'ms',
      ours: of('createMs', 'created, with a NIC and a published port'),
      against: [{ role: 'reference', ...of('removeMs', 'removed') }],
    };
    yield {
      ...common,
      title: `${title}: event loop late, 99th percentile`,
      unit: 'ms',
      ours: of('loopP99Ms', 'the daemon'),
      against: [
        { role: 'reference', ...of('busyP99Ms', 'CPU time of its own from one turn to the next') },
        { role: 'floor', ...of('idleP99Ms', 'an idle process beside it') },
      ],
    };
    yield {
      ...common,
      title: `${title}: event loop late, longest`,
      unit: 'ms',
      ours: of('loopMaxMs', 'the daemon'),
      against: [],
    };
    yield {
      ...common,
      title: `${title}: memory (RSS) per pod`,
      unit: 'MiB',
      ours: of('podRssMib', 'the daemon'),
      against: [],
    };
    yield {
      ...common,
      title: `${title}: left behind`,
      unit: 'failures',
      limit: 0,
      ours: of('left', 'things'),
      against: [],
    };
  },
} satisfies Scenario;
