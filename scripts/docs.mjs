// npm run docs: writes the generated parts of the docs and templates anew, by the tests that otherwise compare them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root, setUp } from './set-up.cjs';

const TESTS = [
  'unit/docs.test.js',
  'unit/daemon/openapi.test.js',
  'unit/bench/page.test.js',
  'contract/kit/create-plugin.test.js',
  'contract/kit/guides.test.js',
  'contract/kit/reference.test.js',
];

if (await setUp({ tests: true })) {
  const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
  const files = TESTS.map((test) => join(root, 'dist', 'test', test));
  const env = { ...process.env, UPDATE_DOCS: '1' };
  const { status } = spawnSync(process.execPath, [mocha, '--timeout', '180000', ...files], { stdio: 'inherit', env });
  process.exitCode = status ?? 1;
}
