import { buildImage } from '../src/hyperplug.js';
import type { Scenario } from './harness/scenario.js';
import { bareUml, UML } from './support/bare-uml.js';
import { HYPERPLUG, untilFirstByte } from './support/first-byte.js';
import { TempDir } from './support/temp-dir.js';

const timeoutMs = 60_000;

export default {
  shows:
    'From the command to the first byte of its output, with User Mode Linux, against linux.uml alone booting the same initramfs and running the same command as its init.',
  usage: '[ROUNDS]',
  place: 'host',
  programs: [UML],
  timeoutMs: 300_000,
  async *comparisons({ numbers }) {
    const [rounds = 0] = numbers(20);
    const { initramfsPath, bareInitramfsPath = initramfsPath } = await buildImage();
    using directory = new TempDir();
    let serial = 0;
    // The command's own word: a kernel that boots says SELinux.
    const options = { word: ' GNU/Linux', timeoutMs };
    yield {
      title: 'cold start to first output, User Mode Linux',
      unit: 'ms',
      rounds,
      ours: {
        name: 'hyperplug run',
        run: () => untilFirstByte(HYPERPLUG, ['run', '--driver', 'uml', '--', 'uname', '-a'], options),
      },
      against: [
        {
          name: 'bare linux.uml, the command as init',
          role: 'floor',
          target: { atMost: 1.25 },
          run: () =>
            untilFirstByte(
              UML,
              bareUml(bareInitramfsPath, directory.path, `bare${++serial}`, 'uname -a; poweroff -f'),
              options,
            ),
        },
      ],
    };
  },
} satisfies Scenario;
