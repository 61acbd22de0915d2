import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { raceSignal } from '../../src/core/calls.js';
import type { GuestImage } from '../../src/core/guest-image.js';
import { timed } from '../harness/time.js';
import { agentOf } from './bare-guest.js';
import { QEMU } from './bare-qemu.js';
import { TempDir } from './temp-dir.js';

/** The arguments of a clone of ours that runs, without what confines it. */
export function argsOfClone(pid: number): readonly string[] {
  const [, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  const at = args.indexOf('-sandbox');
  return at < 0 ? args : [...args.slice(0, at), ...args.slice(at + 2)];
}

/** All that has to be said to a QEMU that waits: in one go, and nothing of it is answered for. */
const SAID = [
  { execute: 'qmp_capabilities' },
  {
    execute: 'migrate-set-capabilities',
    arguments: { capabilities: ['x-ignore-shared', 'events'].map((capability) => ({ capability, state: true })) },
  },
  { execute: 'migrate-incoming', arguments: { uri: 'fd:8' } },
];

/** Milliseconds until QEMU alone goes on from a template of ours: `runs`; `says`: and the agent in it has given `echo`'s output. */
export async function bareClone(
  args: readonly string[],
  { kernelPath, initramfsPath }: GuestImage,
  template: string,
  until: 'runs' | 'says',
  signal: AbortSignal,
): Promise<number> {
  using directory = new TempDir();
  const { path } = directory;
  const server = createServer();
  server.listen(join(path, 'launch'));
  await once(server, 'listening');
  const fds = [
    openSync(path, 'r'),
    openSync(join(path, 'console'), 'a'),
    openSync(kernelPath, 'r'),
    openSync(initramfsPath, 'r'),
    openSync(join(template, 'memory'), 'r+'),
    openSync(join(template, 'state'), 'r'),
  ];
  let stop = () => {};
  try {
    return await timed(async () => {
      const child = spawn(QEMU, args, { stdio: ['ignore', 'ignore', 'inherit', ...fds] });
      stop = () => void child.kill('SIGKILL');
      const [socket] = (await once(server, 'connection', { signal })) as [Socket];
      socket.on('error', () => {});
      const resumed = new Promise<void>((resolve) => {
        createInterface({ input: socket }).on('line', (line) => {
          if (JSON.parse(line).event === 'RESUME') resolve();
        });
      });
      socket.write(SAID.map((each) => JSON.stringify(each)).join('\n'));
      await raceSignal(resumed, signal, 'bare QEMU goes on');
      if (until === 'runs') return;
      const paths = [0, 1].map((at) => join(path, `c${at}`));
      const session = await agentOf(paths, signal, true);
      const echo = { argv: ['echo', 'hello'], env: {}, workingDirectory: '/', terminal: false };
      const { stdout } = await session.exec(echo, { signal });
      await once(stdout, 'data', { signal });
    });
  } finally {
    stop();
    server.close();
    for (const fd of fds) closeSync(fd);
  }
}
