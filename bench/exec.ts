import { buildImage } from '../src/hyperplug.js';
import type { Pod } from '../src/index.js';
import type { Comparison, Rival, Scenario } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { BareGuest } from './support/bare-guest.js';
import { QEMU } from './support/bare-qemu.js';
import type { BareShell } from './support/bare-shell.js';
import { UML, umlShell } from './support/bare-uml.js';
import { engineHere } from './support/engine.js';
import { drain, MIB, pour, throughput } from './support/streams.js';
import { TempDir } from './support/temp-dir.js';

async function* of(
  guest: string,
  pod: Pod,
  shell: BareShell,
  rounds: number,
  bytes: number,
  inMissing?: string,
): AsyncGenerator<Comparison, void> {
  const name = 'hyperplug';
  const floor = { name: `a shell in the guest on a bare channel`, role: 'floor' } as const;
  yield {
    title: `${guest}: a command run, to its exit code`,
    unit: 'ms',
    rounds,
    ours: { name, run: () => timed(() => pod.exec(['/bin/busybox', 'true'])) },
    against: [{ ...floor, run: () => shell.run() }],
  };
  const streams = Math.ceil(rounds / 4);
  yield {
    title: `${guest}: guest to host`,
    unit: 'MiB/s',
    rounds: streams,
    ours: {
      name,
      run: () =>
        throughput(bytes, async () => {
          const head = await pod.spawn({ argv: ['head', '-c', String(bytes), '/dev/zero'] });
          await drain(head.stdout, bytes);
          await head.exited;
        }),
    },
    against: [{ ...floor, run: () => shell.out(bytes) }],
  };
  const into: Rival =
    inMissing === undefined ? { ...floor, run: () => shell.in(bytes) } : { ...floor, missing: inMissing };
  yield {
    title: `${guest}: host to guest`,
    unit: 'MiB/s',
    rounds: streams,
    ours: {
      name,
      run: () =>
        throughput(bytes, async () => {
          const sink = await pod.spawn({ argv: ['sh', '-c', 'exec cat >/dev/null'] });
          sink.stdout.resume();
          await pour(sink.stdin, bytes);
          sink.stdin.end();
          await sink.exited;
        }),
    },
    against: [into],
  };
}

export default {
  shows:
    'A command run by the agent, and bytes through its streams both ways, with QEMU and with User Mode Linux, against a shell in the guest that has a channel of its own.',
  usage: '[ROUNDS [MIB]]',
  place: 'own',
  programs: [QEMU, UML],
  timeoutMs: 170_000,
  async *comparisons({ numbers, signal }) {
    const [rounds = 0, mib = 0] = numbers(20, 8);
    const image = await buildImage();
    using directory = new TempDir();
    {
      await using engine = await engineHere('qemu');
      const pod = await engine.hyperplug.createPod({ id: 'qemu' });
      const bare = await BareGuest.boot(image, directory.path, signal);
      try {
        yield* of('QEMU', pod, await bare.shell(signal), rounds, mib * MIB);
      } finally {
        await bare.stop();
      }
    }
    await using engine = await engineHere('uml');
    const pod = await engine.hyperplug.createPod({ id: 'uml' });
    const shell = await umlShell(image.bareInitramfsPath ?? image.initramfsPath, directory.path);
    try {
      const stalls = 'a bare serial line stalls for ever when more than 4 KiB are unread';
      yield* of('User Mode Linux', pod, shell, rounds, mib * MIB, stalls);
    } finally {
      shell.stop();
    }
  },
} satisfies Scenario;
