import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { tidySocket } from '../../../src/host/dead-socket.js';
import { acquireLock } from '../../../src/host/lock.js';

describe('the socket of a daemon that died', () => {
  const { signal } = new AbortController();
  let directory: string;
  let path: string;
  let lock: string;
  const tidy = async (dryRun = false) =>
    (await tidySocket(path, lock, dryRun, signal)).map(({ kind, id, action }) => [kind, id, action]);

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hp-socket-'));
    path = join(directory, 'daemon.sock');
    lock = join(directory, 'daemon.lock');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** As kill -9 leaves it. */
  function deadSocket(): void {
    const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['-e', script, path])).to.throw(/SIGKILL|Command failed/);
    expect(existsSync(path)).to.equal(true);
  }

  it('is removed, and told of before where nothing is to be changed', async () => {
    deadSocket();
    expect(await tidy(true)).to.deep.equal([['socket', path, 'removed']]);
    expect(await tidy()).to.deep.equal([['socket', path, 'removed']]);
    expect(existsSync(path)).to.equal(false);
    expect(await tidy()).to.deep.equal([]);
  });

  it('stays where somebody listens, or is about to, or it is no socket', async () => {
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await tidy()).to.deep.equal([]);
    await new Promise((resolve) => server.close(resolve));
    deadSocket();
    {
      await using _starting = await acquireLock(lock, { signal: AbortSignal.timeout(1_000) });
      expect(await tidy()).to.deep.equal([]);
    }
    rmSync(path);
    writeFileSync(path, '');
    expect(await tidy()).to.deep.equal([]);
    expect(existsSync(path)).to.equal(true);
  });
});
