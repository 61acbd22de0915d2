import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { umlArgs } from '../../src/plugins/uml/argv.js';
import { BareShell, SHELL_LOOP } from './bare-shell.js';
import { drain } from './streams.js';

export const UML = 'linux.uml';

/** The driver's own arguments, but for the console on stdout, and a shell as init. */
export function bareUml(
  initramfsPath: string,
  directory: string,
  id: string,
  script: string,
  channels: readonly (readonly [number, number])[] = [],
): string[] {
  const fds = { sockets: 0, console: 1, initramfs: 0, channels };
  const plan = { memoryMib: 256, tuning: 'fast' as const, fds, disks: [], hostfs: '/none', kernelArgs: [] };
  const ours = /^(initrd|umid|uml_dir|mconsole|hyper_use_serial)/;
  return [
    ...umlArgs(plan).filter((word) => !ours.test(word)),
    ...[`initrd=${initramfsPath}`, `uml_dir=${directory}`, `umid=${id}`],
    // After the dashes stand the arguments of init.
    ...['rdinit=/bin/sh', '--', '-c', `"${script}"`],
  ];
}

/** Booted to a shell that works its serial line, which is two pipes. */
export async function umlShell(initramfsPath: string, directory: string): Promise<BareShell> {
  const line = '/dev/ttyS0';
  const script = `mount -t devtmpfs d /dev; stty raw -echo -F ${line}; exec <${line} >${line}; echo; ${SHELL_LOOP}`;
  const argv = bareUml(initramfsPath, directory, 'shell', script, [[3, 4]]);
  const child = spawn(UML, argv, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [, , , to, from] = child.stdio as unknown as [null, null, null, Writable, Readable];
  await drain(from, 1);
  return new BareShell(from, to, () => child.kill('SIGKILL'));
}
