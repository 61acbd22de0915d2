/**
 * From the command to the first byte of its output with User Mode Linux, against linux.uml alone booting the same initramfs with
 * the same memory and running the same command as its init. `node dist/bench/cold-start-uml.js [ROUNDS]`
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage } from '../src/hyperplug.js';
import { umlArgs } from '../src/plugins/uml/argv.js';
import { compare } from './harness.js';

const rounds = Number(process.argv[2] ?? 20);
const DEADLINE_MS = 60_000;
const image = await buildImage();
const main = fileURLToPath(new URL('../../dist/bundle/cli/main.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'hp-bench-'));

/** Milliseconds from the spawn to the first byte; the program is awaited to its end. */
function untilFirstByte(command: string, args: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = process.hrtime.bigint();
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
    let elapsed: number | undefined;
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('Linux')) elapsed ??= Number(process.hrtime.bigint() - started) / 1e6;
    });
    child.once('close', () => {
      clearTimeout(timer);
      if (elapsed === undefined) reject(new Error(`${command} ended without its output`));
      else resolve(elapsed);
    });
  });
}

let serial = 0;
/** The driver's own arguments, but for the channels, the console on stdout, and a shell that powers off. */
function bare(): string[] {
  const fds = { sockets: 0, console: 1, initramfs: 0, channels: [] };
  const plan = { memoryMib: 256, tuning: 'fast' as const, fds, hostfs: '/none', kernelArgs: [] };
  const ours = /^(initrd|umid|uml_dir|mconsole|hyper_use_serial)/;
  return [
    ...umlArgs(plan).filter((word) => !ours.test(word)),
    ...[`initrd=${image.initramfsPath}`, `uml_dir=${folder}`, `umid=bare${++serial}`],
    // After the dashes stand the arguments of init.
    ...['rdinit=/bin/sh', '--', '-c', '"uname -a; poweroff -f"'],
  ];
}

await compare(
  'cold start to first output (User Mode Linux)',
  [
    {
      name: 'hyperplug run',
      run: () => untilFirstByte(process.execPath, [main, 'run', '--driver', 'uml', '--', 'uname', '-a']),
    },
    { name: 'bare linux.uml, the command as init', run: () => untilFirstByte('linux.uml', bare()) },
  ],
  rounds,
);
await rm(folder, { recursive: true, force: true });
