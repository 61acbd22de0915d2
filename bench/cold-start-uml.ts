import { buildImage } from '../src/hyperplug.js';
import { umlArgs } from '../src/plugins/uml/argv.js';
import type { Scenario } from './harness/scenario.js';
import { HYPERPLUG, untilFirstByte } from './support/first-byte.js';
import { TempDir } from './support/temp-dir.js';

const UML = 'linux.uml';
const timeoutMs = 60_000;

/** The driver's own arguments, but for the channels, the console on stdout, and a shell that powers off. */
function bare(initramfsPath: string, directory: string, id: string): string[] {
  const fds = { sockets: 0, console: 1, initramfs: 0, channels: [] };
  const plan = { memoryMib: 256, tuning: 'fast' as const, fds, disks: [], hostfs: '/none', kernelArgs: [] };
  const ours = /^(initrd|umid|uml_dir|mconsole|hyper_use_serial)/;
  return [
    ...umlArgs(plan).filter((word) => !ours.test(word)),
    ...[`initrd=${initramfsPath}`, `uml_dir=${directory}`, `umid=${id}`],
    // After the dashes stand the arguments of init.
    ...['rdinit=/bin/sh', '--', '-c', '"uname -a; poweroff -f"'],
  ];
}

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
        run: () =>
          untilFirstByte(process.execPath, [HYPERPLUG, 'run', '--driver', 'uml', '--', 'uname', '-a'], options),
      },
      against: [
        {
          name: 'bare linux.uml, the command as init',
          role: 'floor',
          target: { atMost: 1.25 },
          run: () => untilFirstByte(UML, bare(bareInitramfsPath, directory.path, `bare${++serial}`), options),
        },
      ],
    };
  },
} satisfies Scenario;
