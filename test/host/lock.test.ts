import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HyperplugError } from '../../src/core/errors.js';
import { acquireLock, type LockHolder, readLockHolder } from '../../src/host/lock.js';
import { TurnLock } from '../../src/host/turn-lock.js';
import { callOptions, expectCode } from '../../src/testing/runner.js';

const lockModule = new URL('../../src/host/lock.js', import.meta.url).href;

describe('acquireLock', function () {
  this.timeout(60_000);
  let dir: string;
  let path: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hyperplug-lock-'));
    path = join(dir, 'sub', 'a.lock');
  });
  afterEach(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
    }
    rmSync(dir, { recursive: true, force: true });
  });

  /** A process that takes the lock, says so, and keeps it. */
  async function holder(purpose: string, exclusive = true): Promise<ChildProcess> {
    const script = `
      import { acquireLock } from ${JSON.stringify(lockModule)};
      await acquireLock(process.argv[1], { signal: AbortSignal.timeout(30_000), purpose: process.argv[2], exclusive: ${exclusive} });
      console.log('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, path, purpose], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    await once(child.stdout!, 'data');
    return child;
  }

  const soon = () => ({ signal: AbortSignal.timeout(300) });

  it('is exclusive within the process, private, and free after dispose', async () => {
    const first = await acquireLock(path, callOptions());
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    expect(statSync(join(dir, 'sub')).mode & 0o777).to.equal(0o700);
    await expectCode(acquireLock(path, soon()), 'TIMEOUT');
    await first.release();
    await first.release();
    await using second = await acquireLock(path, callOptions());
    expect(second).to.have.property('release');
  });

  it('names who holds it, and hands over in the end', async () => {
    const child = await holder('the big job');
    let seen: LockHolder | undefined;
    const error = await expectCode(
      acquireLock(path, {
        ...soon(),
        onWait: (found) => {
          seen = found;
        },
      }),
      'TIMEOUT',
    );
    expect(error.message).to.match(new RegExp(`held by process ${child.pid} \\(the big job\\) since 20`));
    expect(seen?.process.pid).to.equal(child.pid);
    expect(readLockHolder(path)).to.deep.equal(seen);
    const waiting = acquireLock(path, callOptions());
    child.kill('SIGKILL');
    await using lock = await waiting;
    expect(lock).to.have.property('release');
    expect(readLockHolder(path)?.process.pid).to.equal(process.pid);
  });

  it('passes the reason of the signal on', async () => {
    const first = await acquireLock(path, callOptions());
    const controller = new AbortController();
    const waiting = acquireLock(path, { signal: controller.signal, onWait: () => controller.abort() });
    await expectCode(waiting, 'ABORTED');
    const reason = new HyperplugError('TIMEOUT', 'pod p: no result');
    await expectCode(acquireLock(path, { signal: AbortSignal.abort(reason) }), 'TIMEOUT');
    await first.release();
    await expectCode(acquireLock(path, { signal: AbortSignal.abort() }), 'ABORTED');
  });

  it('shares with those who ask for it shared', async () => {
    await holder('reader', false);
    const shared = await acquireLock(path, { ...callOptions(), exclusive: false });
    expect((await expectCode(acquireLock(path, soon()), 'TIMEOUT')).message).to.contain('held by another process');
    await shared.release();
  });

  it('keeps out of children', async () => {
    const lock = await acquireLock(path, callOptions());
    const child = spawn('sleep', ['30'], { stdio: 'ignore' });
    children.push(child);
    await once(child, 'spawn');
    await lock.release();
    await (await acquireLock(path, callOptions())).release();
  });

  it('lets the holder remove the file without letting two in', async () => {
    const first = await acquireLock(path, callOptions());
    let inside = 0;
    const others = Array.from({ length: 8 }, async () => {
      const lock = await acquireLock(path, callOptions());
      expect(++inside).to.equal(1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      inside--;
      await lock.release({ remove: true });
    });
    await first.release({ remove: true });
    await Promise.all(others);
    expect(existsSync(path)).to.equal(false);
  });

  it('is taken in turns by who keeps the file open, which is looked at each time', async () => {
    using one = new TurnLock(path, 'one');
    using other = new TurnLock(path, 'other');
    expect([one.tryTake(), other.tryTake()]).to.deep.equal([true, false]);
    one.tell();
    expect(readLockHolder(path)?.purpose).to.equal('one');
    await expectCode(acquireLock(path, soon()), 'TIMEOUT');
    one.release();
    expect(readLockHolder(path)).to.equal(undefined);
    expect([other.tryTake(), one.tryTake()]).to.deep.equal([true, false]);
    other.release();
    expect(one.tryTake()).to.equal(true);
    one.release();
    // Another file by that name: the one that is open excludes nobody any more.
    renameSync(path, `${path}.old`);
    await using foreign = await acquireLock(path, callOptions());
    expect(one.tryTake()).to.equal(false);
    await foreign.release({ remove: true });
    await other.take(callOptions());
    expect([existsSync(path), one.tryTake()]).to.deep.equal([true, false]);
  });

  it('lets one in at a time while several processes take, remove and make the file', async () => {
    const script = `
      import { openSync, closeSync, unlinkSync } from 'node:fs';
      import { acquireLock } from ${JSON.stringify(lockModule)};
      const [path, inside] = process.argv.slice(1);
      for (let round = 0; round < 400; round++) {
        const lock = await acquireLock(path, { signal: AbortSignal.timeout(50_000) });
        closeSync(openSync(inside, 'wx'));
        unlinkSync(inside);
        await lock.release({ remove: true });
      }`;
    const codes = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const argv = ['--input-type=module', '-e', script, path, join(dir, 'inside')];
        const child = spawn(process.execPath, argv, { stdio: ['ignore', 'inherit', 'inherit'] });
        children.push(child);
        return (await once(child, 'exit'))[0] as number | null;
      }),
    );
    expect(codes).to.deep.equal([0, 0, 0, 0]);
    expect(existsSync(path)).to.equal(false);
  });

  it('believes no file content of the dead, of others or of nobody', async () => {
    mkdirSync(join(dir, 'sub'));
    for (const text of [
      '',
      'x',
      'null',
      '{}',
      '{"process":{"pid":-1}}',
      JSON.stringify({ process: { pid: 1, startTime: 5, bootId: 'x' }, purpose: 'p', since: 's' }),
    ]) {
      writeFileSync(path, text, { mode: 0o644 });
      expect(readLockHolder(path), text).to.equal(undefined);
      await (await acquireLock(path, callOptions())).release();
      expect(statSync(path).mode & 0o777).to.equal(0o600);
    }
    expect(readLockHolder(path)).to.equal(undefined);
  });

  it('refuses links, folders and unwritable places', async () => {
    symlinkSync('/dev/null', join(dir, 'link'));
    await expectCode(acquireLock(join(dir, 'link'), callOptions()), 'HOST_PERMISSION');
    await expectCode(acquireLock(dir, callOptions()), 'HOST_PERMISSION');
    await expectCode(acquireLock('/dev/null/a.lock', callOptions()), 'HOST_PERMISSION');
  });
});
