import { appendFileSync, closeSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import koffi from 'koffi';
import { FakeGuest } from '../../../src/testing/fakes/guest/guest.js';
import { endWithOwner } from './vmm-owner.js';

/**
 * Run as a program: a VM whose guest is a FakeGuest, as a process of its own that holds its taps as QEMU does.
 * Arguments: directory, id, console log, NICs as JSON; taps of these are inherited from descriptor 3 on.
 */
export interface VmmNic {
  readonly id: string;
  readonly mac: string;
  readonly mtu: number;
  readonly fds: readonly number[];
}

export type VmmCall =
  | { readonly call: 'attach'; readonly nic: VmmNic; readonly pid: number }
  | { readonly call: 'detach'; readonly id: string }
  | { readonly call: 'nics' }
  | { readonly call: 'power' }
  | { readonly call: 'channel'; readonly name: string };

const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
const syscall = koffi.load(null).func('long syscall(long, ...)');

const [runDir, , consoleLog, initial] = process.argv.slice(2) as [string, string, string, string];
const guest = new FakeGuest();
const nics = new Map<string, VmmNic>();
const plug = (nic: VmmNic) => {
  nics.set(nic.id, nic);
  guest.nicPlugged(nic);
};

guest.boot({
  powerOff: () => process.exit(0),
  panic: () => process.exit(1),
  console(text) {
    try {
      appendFileSync(consoleLog, text);
    } catch {
      // A full disk is no reason to die of.
    }
  },
});
for (const nic of JSON.parse(initial) as VmmNic[]) plug(nic);

/** Copies of descriptors of the manager, which keeps its own. */
function takeFds(pid: number, fds: readonly number[]): number[] {
  const pidfd = syscall(SYS_PIDFD_OPEN, 'int', pid, 'unsigned int', 0);
  if (pidfd < 0) throw new Error(`pidfd_open: errno ${koffi.errno()}`);
  try {
    return fds.map((fd) => {
      const own = syscall(SYS_PIDFD_GETFD, 'int', pidfd, 'int', fd, 'unsigned int', 0);
      if (own < 0) throw new Error(`pidfd_getfd: errno ${koffi.errno()}`);
      return Number(own);
    });
  } finally {
    closeSync(Number(pidfd));
  }
}

function answer(request: Exclude<VmmCall, { call: 'channel' }>): unknown {
  switch (request.call) {
    case 'attach':
      plug({ ...request.nic, fds: takeFds(request.pid, request.nic.fds) });
      return {};
    case 'detach': {
      const nic = nics.get(request.id);
      if (!nic) return { missing: true };
      guest.nicUnplugged(nic.mac);
      nics.delete(nic.id);
      for (const fd of nic.fds) closeSync(fd);
      return {};
    }
    case 'nics':
      return [...nics.values()].map(({ id, mac }) => ({ id, mac }));
    case 'power':
      setImmediate(() => process.exit(0));
      return {};
  }
}

function serve(socket: Socket): void {
  let head = Buffer.alloc(0);
  socket.on('error', () => {});
  const onData = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(10);
    if (end < 0) return;
    socket.off('data', onData);
    const request = JSON.parse(head.toString('utf8', 0, end)) as VmmCall;
    if (request.call === 'channel') {
      socket.pause();
      const rest = head.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      guest.channelOpened(request.name, socket);
      socket.resume();
      return;
    }
    try {
      socket.end(`${JSON.stringify({ result: answer(request) })}\n`);
    } catch (error) {
      socket.end(`${JSON.stringify({ error: (error as Error).message })}\n`);
    }
  };
  socket.on('data', onData);
}

endWithOwner(runDir);
createServer({ allowHalfOpen: false }, serve).listen(`${runDir}/vm.sock`, () => {
  writeFileSync(`${runDir}/vm.pid`, String(process.pid));
  process.stdout.write('ready\n');
});
