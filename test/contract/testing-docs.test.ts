import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const DEADLINE_MS = 120_000;

/** The examples of docs/testing.md, by the file name in their first line. */
function examples(): Map<string, string> {
  const text = readFileSync(join(root, 'docs', 'testing.md'), 'utf8');
  const blocks = [...text.matchAll(/^```js\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)];
  return new Map(blocks.map(([, name = '', body = '']) => [name, body]));
}

describe('the examples of docs/testing.md', function () {
  this.timeout(DEADLINE_MS);
  let dir: string;
  before(() => {
    // Within the package, so that `hyperplug/testing` is found by its name.
    dir = mkdtempSync(join(root, 'dist', 'docs-'));
    for (const [name, body] of examples()) writeFileSync(join(dir, name), body);
  });
  after(() => rmSync(dir, { recursive: true }));

  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined };
  const node = async (argv: readonly string[]) => {
    const options = { env, maxBuffer: 2 ** 24, timeout: DEADLINE_MS, cwd: dir };
    return (await run(process.execPath, argv, options)).stdout;
  };

  it('are the suite, three runners, and a test with fakes', () => {
    expect([...examples().keys()]).to.deep.equal([
      'suite.mjs',
      'mocha.test.mjs',
      'node.test.mjs',
      'vitest.test.mjs',
      'vm.test.mjs',
    ]);
  });

  it('run on mocha, and skipped tests are shown', async () => {
    const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
    const report = JSON.parse(await node([mocha, '--no-config', '--reporter', 'json', join(dir, 'mocha.test.mjs')]));
    expect(report.stats).to.include({ failures: 0 });
    expect(report.stats.passes).to.be.above(15);
    expect(report.pending.map(({ title }: { title: string }) => title).join()).to.include('no tamper');
  });

  it('run on node:test, and skipped tests are shown', async () => {
    const tap = await node(['--test', '--test-reporter=tap', join(dir, 'node.test.mjs')]);
    expect(tap).to.match(/^# fail 0$/m);
    expect(Number(/^# pass (\d+)$/m.exec(tap)?.[1])).to.be.above(15);
    expect(Number(/^# skipped (\d+)$/m.exec(tap)?.[1])).to.be.above(5);
  });

  it('run on vitest, and skipped tests are shown', async () => {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const argv = [
      vitest,
      'run',
      'vitest.test.mjs',
      '--root',
      dir,
      '--reporter=json',
      '--maxWorkers=1',
      '--minWorkers=1',
    ];
    const report = JSON.parse(await node(argv));
    expect(report).to.include({ numFailedTests: 0 });
    expect(report.numPassedTests).to.be.above(15);
    expect(report.numPendingTests).to.be.above(5);
  });

  it('the test with fakes passes', async () => {
    const tap = await node(['--test', '--test-reporter=tap', join(dir, 'vm.test.mjs')]);
    expect(tap).to.match(/^# pass 1$/m);
  });
});
