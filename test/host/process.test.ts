import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { hasCode } from '../../src/core/errors.js';
import {
  identifyProcess,
  killProcess,
  ownIdentity,
  processArgv,
  readProcess,
  sameProcess,
  signalProcess,
  waitGone,
  watchProcess,
} from '../../src/host/process.js';
import { openPidfd } from '../../src/host/process-pidfd.js';

const deadline = () => ({ signal: AbortSignal.timeout(20_000) });

describe('host processes', () => {
  const children: ChildProcess[] = [];
  const start = (argv: readonly string[] = ['sleep', '60']) => {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: 'ignore' });
    children.push(child);
    const identity = identifyProcess(child.pid!);
    if (!identity) throw new Error('the child is gone already');
    return { child, identity };
  };
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
  });

  it('has pidfds here, so that the tests below exercise them', () => {
    const pidfd = openPidfd(process.pid);
    expect(pidfd).to.be.an('object');
    if (typeof pidfd === 'object') pidfd.close();
  });

  it('knows itself', () => {
    expect(sameProcess(ownIdentity())).to.equal(true);
    expect(ownIdentity().pid).to.equal(process.pid);
    expect(processArgv(process.pid)?.[0]).to.match(/node/);
  });

  it('takes neither another start time nor another boot for the same process', () => {
    const own = ownIdentity();
    expect(sameProcess({ ...own, startTime: own.startTime + 1 })).to.equal(false);
    expect(sameProcess({ ...own, bootId: '00000000-0000-0000-0000-000000000000' })).to.equal(false);
  });

  it('never signals a process that only has the pid', async () => {
    const { child, identity } = start();
    const recycled = { ...identity, startTime: identity.startTime - 1 };
    await killProcess(recycled, deadline());
    expect(signalProcess(recycled, 'SIGKILL')).to.equal(false);
    expect(sameProcess(identity)).to.equal(true);
    expect(child.signalCode).to.equal(null);
  });

  it('kills, sees it gone, and does so twice without error', async () => {
    const { identity } = start();
    await killProcess(identity, deadline());
    expect(sameProcess(identity)).to.equal(false);
    await killProcess(identity, deadline());
    expect(identifyProcess(identity.pid)).to.equal(undefined);
  });

  it('takes an unreaped process for gone', async () => {
    // The shell execs into a sleep that never reaps its child.
    const { child } = start(['sh', '-c', 'sleep 0.1 & exec sleep 60']);
    const zombie = await until(() => {
      const text = processChildren(child.pid!);
      return text.find((pid) => readProcess(pid)?.state === 'Z');
    });
    const snapshot = readProcess(zombie)!;
    expect(identifyProcess(zombie)).to.equal(undefined);
    await waitGone(snapshot.identity, deadline());
  });

  it('ends a process whose first thread has ended before the others, and waits for these', async () => {
    // Its threads hold its files: a VM of which only the first thread is gone still has its sockets and taps.
    const { child } = start(['python3', '-c', FIRST_THREAD_ENDS]);
    const pid = child.pid!;
    await until(() => readProcess(pid)?.state === 'Z' || undefined);
    const { identity } = readProcess(pid)!;
    const error = await waitGone(identity, { signal: AbortSignal.timeout(100) }).catch((reason: unknown) => reason);
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
    await killProcess(identity, deadline());
    // Its parent, this process, may have reaped it or not.
    expect(existsSync(`/proc/${pid}/task`) ? readdirSync(`/proc/${pid}/task`) : []).to.have.lengthOf.at.most(1);
  });

  it('tells the end of a process that is not its child', async () => {
    const { child } = start(['sh', '-c', 'sleep 60 & wait']);
    const pid = await until(() => processChildren(child.pid!)[0]);
    const identity = identifyProcess(pid)!;
    const watch = watchProcess(identity);
    expect(signalProcess(identity, 'SIGTERM')).to.equal(true);
    await watch.gone;
    watch.close();
    expect(sameProcess(identity)).to.equal(false);
  });

  it('stops waiting when the signal fires, and the process lives on', async () => {
    const { identity } = start();
    const error = await waitGone(identity, { signal: AbortSignal.timeout(20) }).catch((reason: unknown) => reason);
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
    expect(sameProcess(identity)).to.equal(true);
  });
});

const FIRST_THREAD_ENDS = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

function processChildren(pid: number): number[] {
  const text = processFile(pid);
  return text.split(/\s+/).filter(Boolean).map(Number);
}

function processFile(pid: number): string {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
}

async function until<T>(probe: () => T | undefined): Promise<T> {
  const end = Date.now() + 20_000;
  for (;;) {
    const value = probe();
    if (value !== undefined) return value;
    if (Date.now() > end) throw new Error('it did not happen within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
