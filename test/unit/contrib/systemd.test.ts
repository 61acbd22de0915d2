import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../support/docs.js';
import { requireOrSkip } from '../../support/require.js';
import { tempDirs } from '../../support/temp-dir.js';

const FOLDER = join(ROOT, 'contrib', 'systemd');
const ANALYZE = '/usr/bin/systemd-analyze';

describe('contrib/systemd', () => {
  const temp = tempDirs();

  it('units are as systemd wants them', function () {
    requireOrSkip(this, existsSync(ANALYZE), 'systemd-analyze is not installed');
    const names = readdirSync(FOLDER);
    const root = temp(Object.fromEntries(names.map((name) => [name, readFileSync(join(FOLDER, name), 'utf8')])));
    const units = names.map((name) => join(root, name));
    const { status, stderr } = spawnSync(ANALYZE, ['verify', '--man=no', ...units], {
      encoding: 'utf8',
      timeout: 60_000,
      env: { ...process.env, SYSTEMD_LOG_LEVEL: 'warning' },
    });
    const ours = stderr.split('\n').filter((line) => line.includes('hyperplug'));
    expect(ours, stderr).to.deep.equal([]);
    expect(status, stderr).to.equal(0);
  });

  it('a made-up setting is found by that test', function () {
    requireOrSkip(this, existsSync(ANALYZE), 'systemd-analyze is not installed');
    const root = temp({ 'hyperplug.service': '[Service]\nExecStart=/bin/true\nNoSuchSetting=yes\n' });
    const { stderr } = spawnSync(ANALYZE, ['verify', '--man=no', join(root, 'hyperplug.service')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(stderr).to.include('NoSuchSetting');
  });
});
