import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { childrenOf } from '../../src/host/process.js';
import { buildImage } from '../../src/hyperplug.js';
import { eventually } from '../support/eventually.js';
import { requireOrSkip } from '../support/require.js';

const isRoot = process.getuid?.() === 0;
const SH = '/bin/sh';
const SOURCES = fileURLToPath(new URL('../../../launcher', import.meta.url));

describe('host: the launcher', function () {
  this.timeout(600_000);
  let launcher: string;
  let directory: string;

  before(async () => {
    launcher = (await buildImage()).launcherPath as string;
    directory = mkdtempSync(join(tmpdir(), 'hp-launcher-'));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const run = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync(launcher, args, { encoding: 'utf8', cwd: '/tmp', env: { SECRET: 'x' }, timeout: 20_000 });
  const status = (text: string, name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1]?.split(/\s+/);
  const alive = (pid: number) => {
    try {
      return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  };

  it('gives a program its environment and limits alone, with every signal as it is by itself', () => {
    const script = 'env; pwd; ulimit -c; cat /proc/self/limits /proc/self/status';
    const before = spawnSync(
      SH,
      [
        '-c',
        `trap '' TERM USR1; exec "$0" "$@"`,
        launcher,
        'confined',
        '--fsize=1048576',
        '--',
        'A=1',
        SH,
        '-c',
        script,
      ],
      {
        encoding: 'utf8',
      },
    );
    expect(before.status, before.stderr).to.equal(0);
    const lines = before.stdout.split('\n');
    const shell = /^(PWD|OLDPWD|SHLVL|_)=/;
    expect(lines.slice(0, lines.indexOf('/')).filter((line) => !shell.test(line))).to.deep.equal(['A=1']);
    expect(before.stdout).to.match(/Max file size +1048576 +1048576 /);
    expect(before.stdout).to.match(/Max core file size +0 +0 /);
    expect(status(before.stdout, 'NoNewPrivs')).to.deep.equal(['1']);
    // SIGXFSZ is 25.
    expect(status(before.stdout, 'SigIgn')).to.deep.equal(['0000000001000000']);
    expect(status(before.stdout, 'SigBlk')).to.deep.equal(['0000000000000000']);
  });

  it('takes root, groups and capabilities away, but those that are kept', function () {
    requireOrSkip(this, isRoot, 'this needs root');
    const user = ['--uid=1879100001', '--gid=1879100002', '--groups=3,4'];
    const none = run('confined', ...user, '--caps=0', '--', '/bin/cat', '/proc/self/status').stdout;
    expect(status(none, 'Uid')).to.deep.equal(Array(4).fill('1879100001'));
    expect(status(none, 'Gid')).to.deep.equal(Array(4).fill('1879100002'));
    expect(status(none, 'Groups')?.filter(Boolean)).to.deep.equal(['3', '4']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status(none, set), set).to.deep.equal(['0'.repeat(16)]);
    }
    const kept = run('confined', ...user, '--caps=400', '--', '/bin/cat', '/proc/self/status').stdout;
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status(kept, set), set).to.deep.equal(['0000000000000400']);
    }
    const root = run('confined', '--caps=0', '--', '/bin/cat', '/proc/self/status').stdout;
    expect(status(root, 'Uid')).to.deep.equal(Array(4).fill('0'));
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(status(root, set), set).to.deep.equal(['0'.repeat(16)]);
  });

  const outer = isRoot ? ['outer', '--uid=1879100001', '--gid=1879100001', '--caps=0'] : ['outer'];
  const uid = isRoot ? '1879100001' : String(process.getuid?.());

  it('gives a program namespaces of its own, and tells its end', () => {
    const script = 'echo $$; cat /proc/self/uid_map /proc/self/status; ls /proc/self/fd; cat /proc/net/dev';
    const { stdout, stderr, status: code } = run(...outer, '--', SH, '-c', `${script}; exit 7`);
    expect(code, stderr).to.equal(7);
    expect(stdout.split('\n')[0]).to.equal('2');
    expect(stdout).to.match(new RegExp(`^ +0 +${uid} +1$`, 'm'));
    expect(status(stdout, 'CapEff')).to.deep.equal(['0000000000002000']);
    expect(status(stdout, 'CapBnd')).to.deep.equal(['0000000000002000']);
    expect(stdout.match(/^ *(\w+): /gm)?.map((each) => each.trim())).to.deep.equal(['lo:']);
    expect(run(...outer, '--', SH, '-c', 'kill -ABRT $$').status).to.equal(128 + 6);
  });

  /** A program with its three processes, from the outer one to what it runs. */
  async function started(...more: string[]) {
    const child = spawn(launcher, [...outer, ...more, '--', SH, '-c', 'sleep 1000 & echo up; wait'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [up] = (await once(createInterface(child.stdout as NodeJS.ReadableStream), 'line')) as [string];
    expect(up).to.equal('up');
    const outerPid = child.pid as number;
    const inner = childrenOf(outerPid)[0] as number;
    const program = childrenOf(inner)[0] as number;
    const sleep = childrenOf(program)[0] as number;
    const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    return { pids: [outerPid, inner, program, sleep], ended };
  }

  for (const [index, [who, how]] of (
    [
      ['the outer process', 'SIGKILL'],
      ['the first of its namespace', 'SIGKILL'],
      ['the program', 137],
    ] as const
  ).entries()) {
    it(`leaves no process when ${who} is killed`, async () => {
      const { pids, ended } = await started();
      process.kill(pids[index] as number, 'SIGKILL');
      const [code, signal] = await ended;
      expect(signal ?? code).to.equal(how);
      await eventually(async () => expect(pids.filter(alive)).to.deep.equal([]), 10_000);
    });
  }

  it('shows its two processes apart, and whose they are', async () => {
    const { pids, ended } = await started();
    const words = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 2);
    expect(words(pids[0] as number)).to.deep.equal([launcher, 'outer']);
    expect(words(pids[1] as number)).to.deep.equal([launcher, 'inner']);
    process.kill(pids[0] as number, 'SIGKILL');
    await ended;
  });

  it('starts nothing for a parent that has died, and ends with one that dies', async () => {
    expect(run('confined', '--parent=1', '--', '/bin/echo', 'here')).to.include({ status: 125, stdout: '' });
    const script = '"$0" confined --parent=$$ -- /bin/sleep 1000 & echo $!; sleep 0.3; kill -KILL $$';
    const { stdout } = spawnSync(SH, ['-c', script, launcher], { encoding: 'utf8' });
    await eventually(async () => expect(alive(Number(stdout))).to.equal(false), 10_000);
  });

  it('sees whether a clone is set up by what has changed since, and looks no further', () => {
    const root = join(directory, 'clone');
    const write = (path: string, text = '') => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    };
    const sources = ['tsconfig.json', 'tsconfig.build.json', 'scripts/bundle.mjs', 'scripts/program-loader.cjs'];
    const stamps = ['dist/.sources-seen', 'node_modules/.hyperplug-stamp', 'dist/.sources-stamp'];
    for (const path of ['src/a/b.ts', 'src/c.ts', 'guest/d.c', 'package.json', 'package-lock.json', ...sources])
      write(path);
    write('dist/bundle/cli/main.js');
    write('bin/node', '#!/bin/sh\necho "$@"\n');
    chmodSync(join(root, 'bin/node'), 0o755);
    const setUp = () => {
      // Times of files have the grain of the clock's tick.
      const from = statSync(join(root, 'src')).ctimeMs;
      do for (const path of stamps) write(path);
      while (stamps.some((path) => statSync(join(root, path)).mtimeMs <= Math.max(from, latest(root))));
    };
    const latest = (folder: string) =>
      Math.max(
        ...['src', 'src/a', 'src/a/b.ts', 'src/c.ts', 'guest', 'package.json', 'dist/bundle/cli/main.js'].map(
          (path) => statSync(join(folder, path), { throwIfNoEntry: false })?.ctimeMs ?? 0,
        ),
      );
    const goesTo = () => {
      const env = { PATH: `${join(root, 'bin')}:/usr/bin:/bin` };
      const { stdout } = spawnSync(launcher, ['clone', root, 'ps', 'a b'], { encoding: 'utf8', env });
      return stdout.trim().slice(root.length + 1);
    };
    expect(goesTo()).to.equal('scripts/launch.cjs ps a b');
    setUp();
    expect(goesTo()).to.equal('dist/bundle/cli/main.js ps a b');
    const changes = [
      () => write('src/a/b.ts', 'x'),
      () => write('src/a/new.ts'),
      () => rmSync(join(root, 'src/a/new.ts')),
      () => renameSync(join(root, 'src/c.ts'), join(root, 'src/e.ts')),
      () => utimesSync(join(root, 'src/a/b.ts'), 0, 0),
      () => symlinkSync('/etc/hostname', join(root, 'guest/link')),
      () => rmSync(join(root, 'guest/link')),
      () => write('package-lock.json', 'x'),
      () => write('scripts/bundle.mjs', 'x'),
      () => write('dist/bundle/cli/main.js', 'x'),
      () => rmSync(join(root, 'tsconfig.json')),
    ];
    // A clock that was set back.
    const [past, future] = [new Date(), new Date(Date.now() + 60_000)];
    utimesSync(join(root, 'dist/.sources-seen'), past, future);
    expect(goesTo()).to.equal('scripts/launch.cjs ps a b');
    setUp();
    for (const change of changes) {
      change();
      expect(goesTo(), String(change)).to.equal('scripts/launch.cjs ps a b');
      setUp();
    }
  });

  it('compiles without a warning', function () {
    requireOrSkip(this, spawnSync('cc', ['--version']).status === 0, 'there is no C compiler');
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
    const flags = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-Os'];
    const { status: code, stderr } = spawnSync('cc', [...flags, '-o', join(directory, 'again'), ...sources], {
      cwd: SOURCES,
      encoding: 'utf8',
    });
    rmSync(join(directory, 'again'), { force: true });
    expect(stderr).to.equal('');
    expect(code).to.equal(0);
  });

  it('says what it cannot do', () => {
    const missing = run('confined', '--', '/no/such/program');
    expect(missing).to.include({ status: 127, stderr: 'launcher: /no/such/program: No such file or directory\n' });
    expect(run('confined', '--', '/etc/hostname').status).to.equal(126);
    const wrong = [
      ['confined', '--uid=x', '--', SH],
      ['confined', '--what=1', '--', SH],
      ['confined', SH],
      ['confined', '--'],
      [],
      ['ahead'],
    ];
    for (const words of wrong) {
      const { status: code, stderr } = run(...words);
      expect(code, words.join(' ')).to.equal(125);
      expect(stderr).to.match(/^launcher: /);
    }
  });

  it('becomes the command where there is nothing to begin, and tells it of nothing', () => {
    const place = mkdtempSync(join(directory, 'nothing-'));
    const script = join(place, 'script');
    writeFileSync(script, '#!/bin/sh\necho "$@"; env | grep -c AHEAD\n', { mode: 0o755 });
    const env = { ...process.env, HYPERPLUG_AHEAD: '{}' };
    const text = spawnSync(launcher, ['ahead', place, SH, script, 'run', '--', 'a b'], { encoding: 'utf8', env });
    expect(text.stdout).to.equal('run -- a b\n0\n');
    expect(execFileSync('ls', [place], { encoding: 'utf8' })).to.equal('script\n');
  });
});
