import { buildImage } from '../src/hyperplug.js';
import type { Scenario } from './harness/scenario.js';
import { agentPorts, bareQemu, QEMU, readySocket, tunedKernelArgs } from './support/bare-qemu.js';
import { HYPERPLUG, untilFirstByte } from './support/first-byte.js';
import { TempDir } from './support/temp-dir.js';

const timeoutMs = 60_000;

export default {
  shows:
    'From the command to the first byte of its output, with QEMU, against QEMU alone booting the same kernel and initramfs: until the agent as init says READY, and until a program as init says something.',
  usage: '[ROUNDS]',
  place: 'host',
  programs: [QEMU],
  timeoutMs: 400_000,
  async *comparisons({ numbers }) {
    const [rounds = 0] = numbers(8);
    const image = await buildImage();
    using directory = new TempDir();
    const append = tunedKernelArgs(image);
    const socketPath = readySocket(directory.path);
    const toAgent = bareQemu(image, append, agentPorts(socketPath));
    const toEcho = bareQemu(image, `${append} rdinit=/bin/busybox -- echo hello`, ['-serial', 'stdio']);
    yield {
      title: 'cold start to first output, TCG',
      unit: 'ms',
      rounds,
      ours: {
        name: 'hyperplug run',
        run: () =>
          untilFirstByte(HYPERPLUG, ['run', '--driver', 'qemu', '--', 'echo', 'hello'], {
            timeoutMs,
          }),
      },
      against: [
        {
          name: 'bare QEMU to the agent as init',
          role: 'floor',
          target: { atMost: 1.1 },
          run: () => untilFirstByte(QEMU, toAgent, { socketPath, endless: true, timeoutMs }),
        },
        {
          name: 'bare QEMU to echo as init',
          role: 'floor',
          target: { atMost: 1.1 },
          run: () => untilFirstByte(QEMU, toEcho, { endless: true, timeoutMs }),
        },
      ],
    };
  },
} satisfies Scenario;
