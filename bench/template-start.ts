import { join } from 'node:path';
import { buildImage } from '../src/hyperplug.js';
import type { Hyperplug, Pod, PodOrigin } from '../src/index.js';
import type { Comparison, Scenario } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { argsOfClone, bareClone } from './support/bare-clone.js';
import { QEMU } from './support/bare-qemu.js';
import { type Engine, engineHere } from './support/engine.js';
import { HYPERPLUG, untilFirstByte } from './support/first-byte.js';
import { Pinger } from './support/ping.js';
import { TempDir } from './support/temp-dir.js';
import { pssMib } from './support/vm-memory.js';

const TEMPLATE = 'bench';
const CLONES = 10;

/** How a pod's VM comes to be; the pool is full when its turn comes, and empty at all others'. */
const WAYS = {
  boot: { template: 'none', ready: (hyperplug: Hyperplug) => hyperplug.pool.drain() },
  template: { template: TEMPLATE, ready: (hyperplug: Hyperplug) => hyperplug.pool.drain() },
  pool: { template: TEMPLATE, ready: (hyperplug: Hyperplug) => hyperplug.pool.fill({ size: 1 }) },
} as const satisfies Record<PodOrigin['from'], unknown>;
type Way = keyof typeof WAYS;

let serial = 0;

/** Milliseconds from the call until `done`; the pod is removed, untimed. */
async function once(
  hyperplug: Hyperplug,
  way: Way,
  spec: object,
  done: (pod: Pod) => Promise<unknown>,
): Promise<number> {
  const { template, ready } = WAYS[way];
  await ready(hyperplug);
  let pod: Pod | undefined;
  const time = await timed(async () => {
    pod = await hyperplug.createPod({ id: `p${++serial}`, template, ...spec });
    await done(pod);
  });
  const { origin } = (await pod?.status()) ?? {};
  await pod?.remove();
  if (origin?.from !== way) throw new Error(`expected a pod by ${way}, got ${JSON.stringify(origin)}`);
  return time;
}

async function* started(
  hyperplug: Hyperplug,
  title: string,
  rounds: number,
  asked: { readonly template: number; readonly pool: number },
  spec: object,
  done: (pod: Pod) => Promise<unknown>,
): AsyncGenerator<Comparison, void> {
  const taken: Record<Way, number[]> = { boot: [], template: [], pool: [] };
  for (let round = 0; round < rounds; round++) {
    for (const way of Object.keys(WAYS) as Way[]) taken[way].push(await once(hyperplug, way, spec, done));
  }
  const cold = { name: 'booted', role: 'reference', samples: taken.boot } as const;
  for (const [way, name] of [
    ['template', 'from a template'],
    ['pool', 'from the pool'],
  ] as const) {
    const ours = { name, samples: taken[way] };
    const target = { timesBetter: asked[way] };
    yield { title: `${title}, ${name}`, unit: 'ms', rounds, ours, against: [{ ...cold, target }] };
  }
}

/** The command line, which starts a process and ends it; and what QEMU alone takes for a clone of ours, with nobody around it. */
async function* commandLine(
  { hyperplug, configPath }: Engine,
  rounds: number,
  templates: string,
  signal: AbortSignal,
): AsyncGenerator<Comparison, void> {
  await hyperplug.pool.drain();
  const pod = await hyperplug.createPod({ template: TEMPLATE, network: 'none' });
  const args = argsOfClone((await pod.status()).pid as number);
  await pod.remove();
  const image = await buildImage({ configPath });
  const alone = (until: 'runs' | 'says') => () => bareClone(args, image, join(templates, TEMPLATE), until, signal);
  const run = (template: string) => () => {
    const words = ['run', '--config', configPath, '--network', 'none', '--template', template, '--', 'echo', 'hello'];
    return untilFirstByte(HYPERPLUG, words, { timeoutMs: 60_000 });
  };
  yield {
    title: 'hyperplug run to first output, from a template',
    unit: 'ms',
    rounds,
    ours: { name: 'run --template', run: run(TEMPLATE) },
    against: [
      { name: 'run, booted', role: 'reference', target: { timesBetter: 10 }, run: run('none') },
      { name: 'bare QEMU until the clone runs', role: 'floor', run: alone('runs') },
      { name: 'bare QEMU to its agent’s first output', role: 'floor', run: alone('says') },
    ],
  };
}

/** Memory of the last of ten pods of one template, once each has run a command, and of one that booted. */
async function* memory(hyperplug: Hyperplug): AsyncGenerator<Comparison, void> {
  await hyperplug.pool.drain();
  const pods: Pod[] = [];
  const run = async (id: string, template: string) => {
    const pod = await hyperplug.createPod({ id, template, network: 'none' });
    pods.push(pod);
    await pod.exec(['echo', 'hello']);
    return (await pod.status()).pid as number;
  };
  try {
    const booted = await run('booted', 'none');
    let last = 0;
    for (let at = 0; at < CLONES; at++) last = await run(`clone${at}`, TEMPLATE);
    yield {
      title: `memory (PSS) of the ${CLONES}th pod of a template`,
      unit: 'MiB',
      rounds: 1,
      ours: { name: 'from a template', samples: [pssMib(last)] },
      against: [{ name: 'booted', role: 'reference', target: { atMost: 0.4 }, samples: [pssMib(booted)] }],
    };
  } finally {
    for (const pod of pods) await pod.remove();
  }
}

export default {
  shows:
    'A pod from a template, and from the pool of clones that wait, against one that boots the same kernel: to the first output of a command, to a NIC that answers a ping; and what the tenth clone takes of memory.',
  usage: '[ROUNDS]',
  place: 'own',
  programs: [QEMU],
  timeoutMs: 280_000,
  async *comparisons({ numbers, signal }) {
    const [rounds = 0] = numbers(4);
    using templates = new TempDir();
    const config = { pool: { template: TEMPLATE }, templates: { directory: templates.path } };
    await using engine = await engineHere('qemu', config);
    const { hyperplug } = engine;
    await hyperplug.templates.create({ name: TEMPLATE });
    const pinger = new Pinger();
    try {
      const says = (pod: Pod) => pod.exec(['echo', 'hello']);
      yield* started(hyperplug, 'to first output', rounds, { template: 10, pool: 25 }, { network: 'none' }, says);
      const answers = (pod: Pod) => pinger.answered(pod.nics.list()[0]?.addresses[0]?.address as string, signal);
      yield* started(hyperplug, 'to a NIC that answers a ping', rounds, { template: 3, pool: 10 }, {}, answers);
      yield* commandLine(engine, rounds, templates.path, signal);
      yield* memory(hyperplug);
    } finally {
      pinger.close();
    }
  },
} satisfies Scenario;
