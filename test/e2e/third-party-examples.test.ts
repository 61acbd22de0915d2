import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../support/docs.js';
import { packedInstall, runs } from '../support/packed.js';
import { Sandbox } from '../support/sandbox.js';

describe('a pod on a hypervisor and a network that are somebody else’s', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;

  before(async () => {
    const root = await packedInstall();
    const plugins: string[] = [];
    for (const name of ['hypervisor-microvm', 'network-switch']) {
      const folder = join(root, `e2e-${name}`);
      cpSync(join(ROOT, 'examples', name), folder, { recursive: true });
      await runs(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'], {
        cwd: folder,
      });
      plugins.push(join(folder, 'lib/src/index.js'));
    }
    sandbox = await Sandbox.make();
    await sandbox.configure({
      plugins,
      hypervisor: { driver: 'microvm' },
      network: { backend: 'switch', networks: { default: { subnets: ['10.77.0.0/24'] } } },
      pods: { nicSlots: 0 },
    });
    const { code, stderr } = await sandbox.run(['image', 'build'], { timeoutMs: 600_000 });
    expect(code, stderr).to.equal(0);
  });
  after(async () => {
    await sandbox.run(['net', 'teardown']);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('boots the same guest image, has an address of the switch, and reaches its gateway', async () => {
    const { code, stdout, stderr } = await sandbox.run(['run', '--', 'ping', '-c', '1', '-w', '20', '10.77.0.1'], {
      timeoutMs: 300_000,
    });
    expect(code, stderr).to.equal(0);
    expect(stdout.toString()).to.include('1 packets received');
  });
});
