import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const testing = new URL('../../src/testing/', import.meta.url);

/** A test file of somebody else's, in plain JavaScript, on the runner that `imports` brings. */
const suite = (imports: string) => `
${imports}
import { stateStoreContract } from ${JSON.stringify(new URL('contracts/state-store.js', testing).href)};
import { addressPoolContract } from ${JSON.stringify(new URL('contracts/address-pool.js', testing).href)};
import { FakeStateStore } from ${JSON.stringify(new URL('fakes/state-store.js', testing).href)};
import { FakeAddressPool } from ${JSON.stringify(new URL('fakes/address-pool.js', testing).href)};
stateStoreContract({ runner, capabilities: new FakeStateStore().capabilities, create: () => new FakeStateStore() });
addressPoolContract({ runner, capabilities: new FakeAddressPool().capabilities, create: () => new FakeAddressPool() });
`;

describe('contract suites on other test runners', function () {
  this.timeout(180_000);
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(root, 'dist', 'runner-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const env = { ...process.env, NODE_TEST_CONTEXT: undefined, NODE_OPTIONS: undefined };

  it('run on node:test', async () => {
    const imports = `
      import * as nodeTest from 'node:test';
      const runner = nodeTest;`;
    writeFileSync(join(dir, 'suite.mjs'), suite(imports));
    const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', join(dir, 'suite.mjs')], { env });
    expect(stdout)
      .to.match(/# pass [4-9]\d\n/)
      .and.to.match(/# fail 0\n/);
  });

  it('run on vitest', async () => {
    const imports = `
      import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest';
      const runner = { describe, it, before: beforeAll, after: afterAll, beforeEach, afterEach };`;
    writeFileSync(join(dir, 'suite.test.mjs'), suite(imports));
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const argv = [vitest, 'run', '--root', dir, '--reporter=json', '--maxWorkers=1', '--minWorkers=1'];
    const { stdout } = await run(process.execPath, argv, { env, maxBuffer: 2 ** 24 });
    const report = JSON.parse(stdout) as { numPassedTests: number; numFailedTests: number };
    expect(report.numFailedTests).to.equal(0);
    expect(report.numPassedTests).to.be.above(40);
  });
});
