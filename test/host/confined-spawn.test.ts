import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { eventually } from '../support/eventually.js';

const program = new URL('../../src/host/confined-spawn.js', import.meta.url).href;

/** Until then it is not even on its way. */
const LATE_MS = 1_000;

/** Starts `sleep` confined, and is killed before the death signal is set, or when that sleeps. */
const MANAGER = `
  const { confinedArgv, spawnConfined } = await import(${JSON.stringify(program)});
  const [mark, when] = process.argv.slice(1);
  const tools = Object.fromEntries(['setpriv', 'prlimit', 'env'].map((name) => [name, '/usr/bin/' + name]));
  const argv = confinedArgv(tools, ['/usr/bin/sleep', '1000'], {
    dieWithParent: when !== 'never', root: process.getuid() === 0, user: undefined, keepCapabilities: [],
    maxFileBytes: 1024, env: { MARK: mark },
  });
  const late = ['/bin/sh', '-c', 'sleep 0.3; exec "$@"', 'sh', ...argv];
  const starting = spawnConfined(late, { stderrFd: undefined, fds: [] });
  if (when !== 'at once') {
    await starting;
    const { readFileSync } = await import('node:fs');
    const { identity } = await starting;
    const comm = () => readFileSync('/proc/' + identity.pid + '/comm', 'utf8').trim();
    while (comm() !== 'sleep') await new Promise((resolve) => setTimeout(resolve, 5));
  }
  process.kill(process.pid, 'SIGKILL');
`;

/** By their environment; once it has become `sleep` its arguments do not tell. */
const sleepersOf = (mark: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (program.includes('node')) return false;
        return ['cmdline', 'environ'].some((file) => readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(mark));
      } catch {
        return false;
      }
    });

describe('host: what dies with its manager', function () {
  this.timeout(60_000);

  async function left(when: 'at once' | 'later' | 'never'): Promise<number[]> {
    const mark = `confined-${when.replace(' ', '-')}-${process.pid}-${Date.now()}`;
    const manager = spawn(process.execPath, ['--input-type=module', '-e', MANAGER, mark, when], { stdio: 'ignore' });
    const [, signal] = await once(manager, 'close');
    expect(signal).to.equal('SIGKILL');
    try {
      if (when === 'never') return sleepersOf(mark);
      await delay(LATE_MS);
      await eventually(async () => expect(sleepersOf(mark)).to.deep.equal([]), 10_000);
      return [];
    } finally {
      for (const pid of sleepersOf(mark)) process.kill(pid, 'SIGKILL');
    }
  }

  it('does so when the manager is killed before it has set itself up, and after', async () => {
    expect(await left('at once')).to.deep.equal([]);
    expect(await left('later')).to.deep.equal([]);
  });

  it('lives on where it is not to', async () => {
    expect(await left('never')).to.have.length(1);
  });
});
