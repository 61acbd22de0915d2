/**
 * From the command to the first byte of its output, against QEMU alone booting the same kernel and initramfs with the same
 * machine, memory and kernel arguments: once until a program that is the guest's init says something, once until the agent
 * as init says READY. `node dist/bench/cold-start.js [ROUNDS]`
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildImage } from '../src/hyperplug.js';
import { hostTscKhz, kernelCommandLine } from '../src/plugins/qemu/kernel-command-line.js';
import { compare, cpuinfo } from './harness.js';

const rounds = Number(process.argv[2] ?? 10);
const DEADLINE_MS = 120_000;
const image = await buildImage();
const main = fileURLToPath(new URL('../../dist/bundle/cli/main.js', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'hp-bench-'));

/** Milliseconds from the spawn to the first byte of what `heard` gives. */
function untilFirstByte(command: string, args: string[], heard: 'stdout' | string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = heard === 'stdout' ? undefined : createServer();
    const begin = () => {
      const started = process.hrtime.bigint();
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
      let elapsed: number | undefined;
      const done = () => {
        elapsed ??= Number(process.hrtime.bigint() - started) / 1e6;
        // The command is awaited to its end, so that its tear-down does not run into the next measurement.
        if (command !== process.execPath) child.kill('SIGKILL');
      };
      if (server) server.on('connection', (socket) => socket.once('data', done).on('error', () => {}));
      else child.stdout.once('data', done);
      child.stdout.resume();
      child.once('exit', () => {
        clearTimeout(timer);
        server?.close();
        if (elapsed === undefined) reject(new Error(`${command} ended without a byte`));
        else resolve(elapsed);
      });
    };
    if (server) server.listen(heard, begin);
    else begin();
  });
}

const tuned = kernelCommandLine({
  accelerator: 'tcg',
  machine: 'q35',
  tuning: 'fast',
  tscKhz: hostTscKhz(cpuinfo(), existsSync('/sys/devices/system/cpu/cpu0/cpufreq')),
  extra: image.kernelArgs,
});

function bare(append: string, devices: string[]): string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-machine', 'q35,accel=tcg'],
    ...['-cpu', 'max', '-smp', '1', '-m', '256M', '-kernel', image.kernelPath, '-initrd', image.initramfsPath],
    ...['-append', append, ...devices],
  ];
}

const qemu = 'qemu-system-x86_64';
const socket = (name: string) => join(folder, `${name}.sock`);
const ports = ['sh.hyper.channel.0', 'sh.hyper.channel.1'].flatMap((name, index) => [
  ...['-chardev', index === 0 ? `socket,id=c${index},path=${socket('ready')}` : `null,id=c${index}`],
  ...['-device', `virtserialport,bus=s.0,nr=${index + 1},chardev=c${index},name=${name}`],
]);

await compare(
  'cold start to first output (TCG)',
  [
    {
      name: 'hyperplug run',
      run: () => untilFirstByte(process.execPath, [main, 'run', '--', 'echo', 'hello'], 'stdout'),
    },
    {
      name: 'bare QEMU to the agent as init',
      run: () =>
        untilFirstByte(
          qemu,
          bare(tuned, ['-serial', 'null', '-device', 'virtio-serial-pci,id=s,max_ports=3', ...ports]),
          socket('ready'),
        ),
    },
    {
      name: 'bare QEMU to echo as init',
      run: () =>
        untilFirstByte(qemu, bare(`${tuned} rdinit=/bin/busybox -- echo hello`, ['-serial', 'stdio']), 'stdout'),
    },
  ],
  rounds,
);
await rm(folder, { recursive: true, force: true });
