import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { acquireLock } from '../../src/host/lock.js';
import { encodeKey, encodeValue, SCHEMA_KEY } from '../../src/plugins/local/state-codec.js';
import type { Database } from '../../src/plugins/local/state-file.js';
import { schema } from '../../src/plugins/local/state-schema.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';
import { WriterThread } from '../../src/plugins/local/writer-thread.js';
import { callOptions, expectCode } from '../../src/testing/runner.js';
import { requireOrSkip } from '../support/require.js';

/** A thread that dies of the first it is asked for. */
const DYING = `import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(1));`;
const child = fileURLToPath(new URL('./state-store-child.js', import.meta.url));

describe('local state store on a real disk', function () {
  this.timeout(180_000);
  let dir: string;
  let path: string;
  const running = new Set<ChildProcess>();
  const stores: LocalStateStore[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hyperplug-state-'));
    path = join(dir, 'state', 'state.mdb');
  });
  afterEach(async () => {
    for (const process of running) {
      process.kill('SIGKILL');
      await once(process, 'exit');
    }
    for (const store of stores.splice(0)) await store.stop();
    rmSync(dir, { recursive: true });
  });

  const open = (...args: ConstructorParameters<typeof LocalStateStore> | []) => {
    const store = new LocalStateStore(...(args.length > 0 ? (args as [string]) : ([path] as const)));
    stores.push(store);
    return store;
  };
  const run = (argv: readonly string[], command = process.execPath) => {
    const started = spawn(command, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    running.add(started);
    started.once('exit', () => running.delete(started));
    return started;
  };
  /** Its output; fails unless it exits with 0. */
  const finished = async (process: ChildProcess) => {
    const [output, [code, signal]] = await Promise.all([text(process.stdout!), once(process, 'exit')]);
    expect([code, signal]).to.deep.equal([0, null]);
    return output;
  };
  const raw = async (change: (database: Database) => void) => {
    const { open: openLmdb } = createRequire(import.meta.url)('lmdb');
    const options = { path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary', overlappingSync: false };
    const database = openLmdb(options);
    change(database);
    await database.close();
  };

  it('is private to its user', async () => {
    await open().transaction((transaction) => transaction.put(['a'], 1), callOptions());
    expect(statSync(join(dir, 'state')).mode & 0o777).to.equal(0o700);
    for (const file of ['state.mdb', 'state.mdb-lock', 'state.mdb.lock', 'state.mdb.gate']) {
      expect(statSync(join(dir, 'state', file)).mode & 0o777, file).to.equal(0o600);
    }
  });

  it('is inherited by nothing that its process starts, be it written by this thread or another', async () => {
    const store = open();
    for (const way of ['its own', 'another'] as const) {
      if (way === 'another') store.serve();
      await store.transaction((transaction) => transaction.put(['a'], way), callOptions());
      const files = await finished(run(['-l', '/proc/self/fd'], 'ls'));
      expect(files).to.include(' 1 -> ').and.not.include(dir);
    }
  });

  it('counts every increment of four processes', async () => {
    const children = Array.from({ length: 4 }, (_, index) => {
      return run([child, 'increment', path, '50', ...(index % 2 === 0 ? ['serves'] : [])]);
    });
    await Promise.all(children.map(finished));
    expect(await open().get(['counter'], callOptions())).to.equal(200);
  });

  it('stays whole when processes are killed in the middle, and loses nothing that was acknowledged', async () => {
    const store = open();
    let acknowledged = 0;
    for (let round = 0; round < 6; round++) {
      const children = [run([child, 'forever', path]), run([child, 'forever', path, '0', 'serves'])];
      const outputs = children.map((process) => {
        const chunks: string[] = [];
        process.stdout!.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
        return chunks;
      });
      while (!outputs.some((chunks) => /\d\n/.test(chunks.join('')))) {
        await Promise.race(children.map((process) => once(process.stdout!, 'data')));
      }
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200));
      await Promise.all(
        children.map(async (process) => {
          process.kill('SIGKILL');
          await once(process, 'close');
        }),
      );
      for (const chunks of outputs) {
        const lines = chunks.join('').split('\n').slice(1, -1);
        for (const line of lines) acknowledged = Math.max(acknowledged, Number(line));
      }
      const seen = await store.transaction((transaction) => {
        const counter = (transaction.get(['counter']) as number | undefined) ?? 0;
        const next = transaction.list(['pair']).map(({ value }) => (value as { next: number }).next);
        return { counter, next };
      }, callOptions());
      expect(seen.counter).to.be.at.least(acknowledged);
      if (seen.counter > 0) expect(seen.next).to.deep.equal([seen.counter, seen.counter]);
    }
    expect(acknowledged).to.be.above(0);
    expect(await store.unreadable([], callOptions())).to.deep.equal([]);
  });

  it('gives addresses to several processes, each once', async () => {
    const children = Array.from({ length: 3 }, () => run([child, 'addresses', path, '60']));
    const given = (await Promise.all(children.map(finished))).flatMap((output) => JSON.parse(output) as string[]);
    expect(new Set(given).size).to.equal(given.length);
    expect(given).to.have.length(3 * 40);
    const leases = await open().list(['ipam', 'leases', '10.77.0.0/22'], callOptions());
    expect(leases.map(({ key }) => key[3])).to.have.members(given);
  });

  it('waits for another process no longer than the signal, and says for whom', async () => {
    const store = open();
    await store.transaction((transaction) => transaction.put(['a'], 1), callOptions());
    const lock = await acquireLock(`${path}.lock`, { ...callOptions(), purpose: 'a slow backup' });
    let ran = false;
    const body = () => {
      ran = true;
    };
    const error = await expectCode(store.transaction(body, { signal: AbortSignal.timeout(200) }), 'TIMEOUT');
    expect(error.message).to.include(`held by process ${process.pid} (a slow backup)`);
    expect(await store.get(['a'], callOptions())).to.equal(1);
    const waiting = store.transaction((transaction) => transaction.put(['a'], 2), callOptions());
    await lock.release();
    await waiting;
    expect([ran, await store.get(['a'], callOptions())]).to.deep.equal([false, 2]);
  });

  it('ends what waits when it is stopped', async () => {
    const store = open();
    await store.get(['a'], callOptions());
    const lock = await acquireLock(`${path}.lock`, callOptions());
    const waiting = expectCode(
      store.transaction((transaction) => transaction.put(['a'], 1), callOptions()),
      'STATE_UNAVAILABLE',
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    await store.stop();
    await waiting;
    await lock.release();
  });

  for (const [who, serves] of [
    ['by the process itself', []],
    ['by its thread', ['0', 'serves']],
  ] as const) {
    it(`says STATE_UNAVAILABLE when the disk is full, commits nothing of it, and works again (${who})`, async function () {
      requireOrSkip(this, process.getuid?.() === 0, 'mounting a small tmpfs needs root');
      mkdirSync(join(dir, 'mnt'));
      const script =
        'mount -t tmpfs -o size=500k none "$1"; head -c 200k /dev/zero >"$1/ballast"; dir=$1; node=$2; child=$3; shift 3; exec "$node" "$child" fill "$dir/state/state.mdb" "$@"';
      const argv = ['-m', 'bash', '-ec', script, 'bash', join(dir, 'mnt'), process.execPath, child, ...serves];
      const [error, last, count, written, counter] = JSON.parse(await finished(run(argv, 'unshare')));
      expect(error.code).to.equal('STATE_UNAVAILABLE');
      expect(error.message).to.match(/state store .*: .*free space there: \d+ bytes/);
      expect(last).to.equal(written - 1);
      expect(count).to.equal(written);
      expect(counter).to.equal(1);
    });
  }

  it('grows past its map, and so do those that have it open', async () => {
    const small = () => open(path, schema, 128 * 1024);
    const [reader, writer, thread] = [small(), small(), small()];
    thread.serve();
    await reader.transaction((transaction) => transaction.put(['before'], 1), callOptions());
    await writer.get(['before'], callOptions());
    for (const [index, store] of [writer, thread].entries()) {
      await store.transaction((transaction) => {
        for (let count = 0; count < 200; count++) transaction.put(['big', `${index}`, `${count}`], 'x'.repeat(2_000));
      }, callOptions());
      expect(await reader.list(['big', `${index}`], callOptions())).to.have.length(200);
    }
    expect(statSync(path).size).to.be.above(512 * 1024);
    expect(await reader.get(['before'], callOptions())).to.equal(1);
  });

  it('is read on by one store of a process when another one there has ended, though new processes come', async () => {
    const [reader, other] = [open(), open()];
    await reader.transaction((transaction) => transaction.put(['counter'], 7), callOptions());
    other.serve();
    await other.transaction((transaction) => transaction.put(['other'], 1), callOptions());
    await reader.get(['counter'], callOptions());
    await other.stop();
    // Whoever opens it takes away the slots of readers that seem to be dead.
    expect(await finished(run([child, 'get', path]))).to.equal('7\n');
    expect(await reader.get(['counter'], callOptions())).to.equal(7);
    await reader.transaction((transaction) => transaction.put(['counter'], 8), callOptions());
    expect(await finished(run([child, 'get', path]))).to.equal('8\n');
    expect(await reader.get(['counter'], callOptions())).to.equal(8);
  });

  it('is written by the process itself when the thread that writes has died', async () => {
    const thread = new WriterThread(path, new URL(`data:text/javascript,${encodeURIComponent(DYING)}`));
    expect(await thread.commit(new Map([['key', Buffer.from('value')]]))).to.equal(false);
    expect(thread.alive).to.equal(false);
    expect(await thread.commit(new Map())).to.equal(false);
    await thread.close();
  });

  it('says STATE_UNAVAILABLE, with the reason, where it cannot be', async () => {
    writeFileSync(join(dir, 'file'), '');
    const cases: [string, RegExp][] = [
      [join(dir, 'file', 'state.mdb'), /a directory/],
      ['/proc/self/state.mdb', /mode|directory|user/],
    ];
    mkdirSync(join(dir, 'open'), { mode: 0o700 });
    chmodSync(join(dir, 'open'), 0o755);
    cases.push([join(dir, 'open', 'state.mdb'), /mode 0700/]);
    mkdirSync(join(dir, 'taken', 'state.mdb'), { recursive: true, mode: 0o700 });
    cases.push([join(dir, 'taken', 'state.mdb'), /directory/i]);
    mkdirSync(join(dir, 'linked'), { mode: 0o700 });
    writeFileSync(join(dir, 'elsewhere'), '');
    symlinkSync(join(dir, 'elsewhere'), join(dir, 'linked', 'state.mdb'));
    cases.push([join(dir, 'linked', 'state.mdb'), /link/i]);
    for (const [place, reason] of cases) {
      const error = await expectCode(open(place).get(['a'], callOptions()), 'STATE_UNAVAILABLE');
      expect(error.message).to.include(place).and.to.match(reason);
    }
  });

  it('is read where it cannot be written, and written again when it can', async function () {
    requireOrSkip(this, process.getuid?.() === 0, 'mounting needs root');
    const directory = join(dir, 'state');
    await open().transaction((transaction) => transaction.put(['a'], 1), callOptions());
    await stores.pop()?.stop();
    const store = open();
    execFileSync('mount', ['--bind', directory, directory]);
    try {
      execFileSync('mount', ['-o', 'remount,ro,bind', directory]);
      for (const reader of [store, open()]) {
        expect(await reader.get(['a'], callOptions())).to.equal(1);
        expect(await reader.list([], callOptions())).to.deep.equal([{ key: ['a'], value: 1 }]);
        const write = reader.transaction((transaction) => transaction.put(['a'], 2), callOptions());
        expect((await expectCode(write, 'STATE_UNAVAILABLE')).message).to.match(/read-only/);
      }
      await expectCode(open(join(directory, 'other.mdb')).get(['a'], callOptions()), 'STATE_UNAVAILABLE');
      execFileSync('mount', ['-o', 'remount,rw,bind', directory]);
      await store.transaction((transaction) => transaction.put(['a'], 3), callOptions());
      expect(await store.get(['a'], callOptions())).to.equal(3);
    } finally {
      for (const each of stores.splice(0)) await each.stop();
      execFileSync('umount', ['--lazy', directory]);
    }
  });

  it('says STATE_UNAVAILABLE to a user who may not read it', async function () {
    requireOrSkip(this, process.getuid?.() === 0, 'becoming another user needs root');
    await open().get(['a'], callOptions());
    chmodSync(dir, 0o755);
    const argv = ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, child, 'get', path];
    expect(await finished(run(argv, 'setpriv'))).to.match(
      /^STATE_UNAVAILABLE state store .*user 65534, got one of user 0/,
    );
  });

  it('leaves a foreign, cut off or newer file as it is', async () => {
    mkdirSync(join(dir, 'state'), { mode: 0o700 });
    const refuses = async (code: 'STATE_CORRUPT' | 'STATE_VERSION', message: RegExp) => {
      const before = readFileSync(path);
      const store = open();
      expect((await expectCode(store.get(['a'], callOptions()), code)).message).to.match(message);
      await expectCode(
        store.transaction(() => {}, callOptions()),
        code,
      );
      await store.stop();
      expect(readFileSync(path).equals(before)).to.equal(true);
    };
    writeFileSync(path, 'x'.repeat(50_000), { mode: 0o600 });
    await refuses('STATE_CORRUPT', /it is no LMDB file/);
    writeFileSync(path, 'short');
    await refuses('STATE_CORRUPT', /too few/);
    rmSync(path);
    await raw((database) => database.putSync(encodeKey(['a']), encodeValue(1)));
    await refuses('STATE_CORRUPT', /no schema version/);
    await raw((database) => database.putSync(SCHEMA_KEY, Buffer.from('{"schema":99}')));
    await refuses('STATE_VERSION', /schema version 99, this program reads up to 1/);
    await raw((database) => {
      database.putSync(SCHEMA_KEY, Buffer.from('{"schema":1}'));
      for (let index = 0; index < 500; index++)
        database.putSync(encodeKey(['f', `${index}`]), encodeValue('z'.repeat(500)));
    });
    truncateSync(path, 8192);
    await refuses('STATE_CORRUPT', /cut off/);
  });

  it('migrates an older store in one transaction, or not at all', async () => {
    const first = open();
    await first.transaction((transaction) => transaction.put(['old', 'name'], 'value'), callOptions());
    await first.stop();
    const rename = (database: Database) => {
      database.putSync(encodeKey(['new', 'name']), database.get(encodeKey(['old', 'name'])) as Buffer);
      database.removeSync(encodeKey(['old', 'name']));
    };
    const failing = () => {
      throw new Error('step 2 failed');
    };
    const broken = new LocalStateStore(path, {
      version: 3,
      migrations: new Map([
        [1, rename],
        [2, failing],
      ]),
    });
    stores.push(broken);
    expect((await expectCode(broken.get(['new', 'name'], callOptions()), 'STATE_UNAVAILABLE')).message).to.include(
      'step 2',
    );
    await broken.stop();
    const untouched = open();
    expect(await untouched.get(['old', 'name'], callOptions())).to.equal('value');
    await untouched.stop();
    const migrated = new LocalStateStore(path, { version: 2, migrations: new Map([[1, rename]]) });
    stores.push(migrated);
    expect(await migrated.list([], callOptions())).to.deep.equal([{ key: ['new', 'name'], value: 'value' }]);
    await migrated.stop();
    await expectCode(open().get(['new', 'name'], callOptions()), 'STATE_VERSION');
    const gap = new LocalStateStore(path, { version: 9, migrations: new Map() });
    stores.push(gap);
    await expectCode(gap.get(['new', 'name'], callOptions()), 'STATE_VERSION');
  });

  it('reports keys that could not have been written through it', async () => {
    const store = open();
    await store.transaction((transaction) => transaction.put(['k', 'good'], 1), callOptions());
    await store.stop();
    await raw((database) => database.putSync(Buffer.from('k\0bad key', 'latin1'), encodeValue(1)));
    const again = open();
    expect(await again.list(['k'], callOptions())).to.have.length(1);
    expect((await again.unreadable(['k'], callOptions())).map(({ key }) => key)).to.deep.equal([['k', 'bad key']]);
  });
});
