import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { program, Sandbox } from '../support/sandbox.js';

/** In a mount namespace of its own, whose mounts are shared with whoever is made of it, as a machine's are with systemd. */
const SCRIPT = `
  mount --make-rshared /
  name=hp-test-$$
  ip netns add $name
  HYPERPLUG_CONFIG=$1 "$2" "$3" run -- echo out
  grep -c netns/$name /proc/self/mountinfo
  grep -c ' /dev/shm ' /proc/self/mountinfo
  ip netns delete $name
`;

describe('rootless networks, as root', function () {
  this.timeout(120_000);
  let sandbox: Sandbox;

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    sandbox = await Sandbox.make({ hypervisor: { driver: 'uml' }, rootless: { enabled: true } });
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
  });

  after(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('take no mount away from anybody', async () => {
    const shared = ['--mount', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh'];
    const argv = [...shared, sandbox.configPath, process.execPath, program];
    const { stdout } = await promisify(execFile)('unshare', argv, { timeout: 100_000 });
    expect(stdout).to.match(/^out\n1\n[1-9]\d*\n$/);
  });
});
