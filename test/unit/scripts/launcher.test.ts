import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { requireOrSkip } from '../../support/require.js';
import { FakeClone, REPOSITORY } from './clone.js';

/** Bounded, so that nothing stays behind when a test fails. */
const WAIT_FOR_GO = 'n=0; while [ ! -e go ] && [ $n -lt 400 ]; do sleep 0.05; n=$((n + 1)); done';

describe('./hyperplug', () => {
  let clone: FakeClone;
  const hyperplug = (...args: string[]) => ['./hyperplug', ...args];
  const until = async (condition: () => boolean) => {
    const deadline = Date.now() + 15_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error('what the test waits for did not come');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };

  beforeEach(() => {
    clone = new FakeClone();
  });
  afterEach(() => clone.remove());

  it('sets up from nothing, tells so on stderr alone, and is then the command', async () => {
    const outcome = await clone.run(hyperplug('run', '--', 'a b'));
    expect(clone.log()).to.deep.equal(['npm', 'tsc']);
    expect(outcome).to.include({ code: 5, stdout: 'main run -- a b\n' });
    expect(outcome.stderr)
      .to.include('npm packages')
      .and.include('compiling')
      .and.match(/done in [\d.]+ s/);
  });

  it('does nothing the second time', async () => {
    await clone.run(hyperplug());
    const outcome = await clone.run(hyperplug('ps'));
    expect(clone.log()).to.deep.equal(['npm', 'tsc']);
    expect(outcome).to.deep.include({ stdout: 'main ps\n', stderr: '' });
  });

  it('compiles again what changed, and installs again when the lock file did', async () => {
    await clone.run(hyperplug());
    clone.write('src/core/new.ts', '');
    await clone.run(hyperplug());
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'tsc']);
    clone.write('package-lock.json', '{"packages":{"":{}}}');
    const outcome = await clone.run(hyperplug());
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'tsc', 'npm', 'tsc']);
    expect(outcome.stderr).to.include('package-lock.json has changed');
  });

  it('tells how it was when it began to look: what is edited while it compiles is newer', async () => {
    await clone.run(hyperplug());
    const time = (path: string) => statSync(join(clone.folder, path)).mtimeMs;
    expect(time('dist/.sources-seen')).to.be.at.most(time('log'));
    expect(time('dist/.sources-stamp')).to.be.at.least(time('log'));
    clone.npm('exit 3');
    clone.write('package-lock.json', '{"packages":{"":{}}}');
    const before = time('dist/.sources-seen');
    await clone.run(hyperplug());
    expect(time('dist/.sources-seen')).to.equal(before);
    expect(readdirSync(join(clone.folder, 'dist')).filter((name) => name.startsWith('.sources-seen.'))).to.deep.equal(
      [],
    );
  });

  it('forgets compiled files whose source is gone', async () => {
    await clone.run(hyperplug());
    clone.write('dist/test/unit/old.test.js', '');
    clone.write('src/core/new.ts', '');
    await clone.run(hyperplug());
    expect(existsSync(join(clone.folder, 'dist/test/unit/old.test.js'))).to.equal(false);
    expect(existsSync(join(clone.folder, 'dist/src/cli/main.js'))).to.equal(true);
  });

  it('shows why a step failed, and tries again the next time', async () => {
    clone.npm('echo "E404 no such package" >&2; exit 3');
    const failed = await clone.run(hyperplug());
    expect(failed).to.include({ code: 1, stdout: '' });
    expect(failed.stderr).to.include('E404 no such package').and.include('exit code 3').and.not.include('    at ');
    clone.npm('');
    expect(await clone.run(hyperplug())).to.include({ code: 5 });
  });

  it('takes nothing for done that a step which failed may have spoilt, though its input is as before', async () => {
    await clone.run(hyperplug());
    clone.write('package-lock.json', '{"packages":{"":{}}}');
    clone.npm('exit 3');
    await clone.run(hyperplug());
    clone.write('package-lock.json', '{"packages":{}}');
    clone.npm('');
    await clone.run(hyperplug());
    expect(clone.log().filter((step) => step === 'npm')).to.have.length(3);
  });

  it('of two at once one sets up, the other waits and says so', async () => {
    clone.npm(WAIT_FOR_GO);
    const first = clone.start(hyperplug('1'));
    await until(() => clone.log().length === 1);
    const second = clone.start(hyperplug('2'));
    let words = '';
    second.child.stderr.on('data', (chunk) => {
      words += chunk;
    });
    await until(() => words.includes('waiting'));
    clone.write('go', '');
    expect(await first.done).to.include({ code: 5, stdout: 'main 1\n' });
    expect(await second.done).to.include({ code: 5, stdout: 'main 2\n' });
    expect(clone.log()).to.deep.equal(['npm', 'tsc']);
  });

  it('redoes a set-up that was killed in the middle, once what it started has ended', async () => {
    clone.npm(WAIT_FOR_GO);
    const first = clone.start(hyperplug());
    await until(() => clone.log().length === 1);
    first.child.kill('SIGKILL');
    const second = clone.start(hyperplug('2'));
    let words = '';
    second.child.stderr.on('data', (chunk) => {
      words += chunk;
    });
    await until(() => words.includes('waiting'));
    clone.write('go', '');
    expect(await second.done).to.include({ code: 5, stdout: 'main 2\n' });
    expect(clone.log()).to.deep.equal(['npm', 'npm', 'tsc']);
  });

  it('leaves alone what npm has installed by hand and still fits', async () => {
    clone.write('package-lock.json', '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"}}}');
    await clone.run(['sh', 'bin/npm', 'by-hand']);
    clone.write('node_modules/.package-lock.json', '{"packages":{"node_modules/a":{"version":"1.0.0"}}}');
    await clone.run(hyperplug());
    expect(clone.log()).to.deep.equal(['npm', 'tsc']);
    clone.write('node_modules/.package-lock.json', '{"packages":{"node_modules/a":{"version":"1.0.1"}}}');
    await clone.run(hyperplug());
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'npm']);
  });

  it('never installs through a linked node_modules', async () => {
    mkdirSync(join(clone.folder, 'elsewhere'));
    symlinkSync('elsewhere', join(clone.folder, 'node_modules'));
    const outcome = await clone.run(hyperplug());
    expect(outcome.code).to.equal(1);
    expect(outcome.stderr).to.include('is a link');
    expect(clone.log()).to.deep.equal([]);
  });

  it('says who cannot write where', async function () {
    requireOrSkip(this, process.getuid?.() === 0, 'needs root, to run as somebody else');
    const outcome = await clone.run(hyperplug(), { uid: 65534 });
    expect(outcome.code).to.equal(1);
    expect(outcome.stderr).to.include(clone.folder).and.include('user 65534 cannot write');
    await clone.run(hyperplug());
    expect(await clone.run(hyperplug('x'), { uid: 65534 })).to.deep.include({ stdout: 'main x\n', stderr: '' });
  });

  it('finds its folder through links, from anywhere', async () => {
    await clone.run(hyperplug());
    symlinkSync(join(clone.folder, 'hyperplug'), join(clone.folder, 'bin/alias'));
    expect(await clone.run(['bin/alias', 'y'])).to.include({ code: 5, stdout: 'main y\n' });
  });

  it('goes through the launcher where that is', async () => {
    await clone.run(hyperplug());
    clone.write('dist/bundle/cli/launcher', '#!/bin/sh\necho "launcher $*"\n');
    expect((await clone.run(hyperplug('run', 'x'))).stdout).to.equal('main run x\n');
    chmodSync(join(clone.folder, 'dist/bundle/cli/launcher'), 0o755);
    expect((await clone.run(hyperplug('run', '--', 'a b'))).stdout).to.equal('launcher clone . run -- a b\n');
    rmSync(join(clone.folder, 'scripts'), { recursive: true });
    const words = 'launcher ahead ./dist/bundle/cli node ./dist/bundle/cli/main.js ps\n';
    expect((await clone.run(hyperplug('ps'))).stdout).to.equal(words);
  });

  it('is what it was installed as, where there is nothing to set up', async () => {
    await clone.run(hyperplug());
    rmSync(join(clone.folder, 'scripts'), { recursive: true });
    symlinkSync(join(clone.folder, 'hyperplug'), join(clone.folder, 'bin/alias'));
    expect((await clone.run(['bin/alias', 'y'])).stdout).to.equal('main y\n');
  });

  it('says that Node is missing, or too old', async () => {
    const outcome = await clone.run(['/bin/sh', './hyperplug'], { path: join(clone.folder, 'bin') });
    expect(outcome.code).to.equal(1);
    expect(outcome.stderr).to.include('Node.js 20.19');
    const { isOldNode, NEEDED } = await import(join(REPOSITORY, 'scripts/node-version.cjs'));
    expect(['18.20.0', '20.18.3', '20.19.0', '22.0.0'].map(isOldNode)).to.deep.equal([true, true, false, false]);
    const { engines } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
    expect(engines.node).to.equal(`>=${NEEDED.join('.')}`);
  });
});

describe('npm test', () => {
  let clone: FakeClone;
  const test = (...args: string[]) => clone.run([process.execPath, 'scripts/test.mjs', ...args]);

  beforeEach(() => {
    clone = new FakeClone();
    for (const stage of ['unit', 'host']) clone.write(`dist/test/${stage}/a.test.js`, '');
    for (const stage of ['unit', 'host']) clone.write(`test/${stage}/a.test.ts`, '');
  });
  afterEach(() => clone.remove());

  it('sets up, runs every stage though one fails, sums up, and fails', async () => {
    const outcome = await test();
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'mocha unit', 'mocha host']);
    expect(outcome.code).to.equal(1);
    expect(outcome.stdout)
      .to.match(/unit +FAILED +3 passed, 1 failed, 2 skipped/)
      .and.match(/host +ok +3 passed, 0 failed/)
      .and.match(/\n +unit\/a\.test\.js: a fails\n +why\n/);
    const measured = JSON.parse(readFileSync(join(clone.folder, 'dist/test-seconds.json'), 'utf8'));
    expect(measured).to.deep.equal({ 'host/a.test.js': 1.2, 'unit/a.test.js': 1.2 });
    expect(outcome.stdout).to.match(/e2e +no tests/);
    expect(outcome.stdout).to.match(/\n\n6 passed, 1 failed, 4 skipped\n$/);
  });

  it('runs the selected stages only', async () => {
    expect((await test('host', '--grep', 'x')).code).to.equal(0);
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'mocha host']);
  });

  it('compiles tests that changed', async () => {
    await test('host');
    writeFileSync(join(clone.folder, 'test/host/b.test.ts'), '');
    await test('host');
    expect(clone.log()).to.deep.equal(['npm', 'tsc', 'mocha host', 'tsc', 'mocha host']);
  });

  it('refuses a stage that is not there', async () => {
    expect(await test('hosts')).to.include({ code: 2 });
  });
});
