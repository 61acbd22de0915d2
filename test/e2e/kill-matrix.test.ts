import { expect } from 'chai';
import { KillMatrix } from '../support/kill-matrix/matrix.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { hasUml } from '../support/uml-fixture.js';

/** A sample of the kill matrix with real VMs, where nothing is left, and a pod that ran answers, after one gc. */
describe('kill -9 with real VMs', function () {
  this.timeout(600_000);
  let matrix: KillMatrix | undefined;

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  afterEach(async () => {
    const left = await matrix?.dispose();
    matrix = undefined;
    expect(left ?? []).to.deep.equal([]);
  });

  async function setUp(hypervisor: 'qemu' | 'uml'): Promise<KillMatrix> {
    matrix = new KillMatrix(undefined, hypervisor);
    await using hyperplug = await matrix.open();
    await hyperplug.prepare({ timeoutMs: 600_000 });
    return matrix;
  }

  it('User Mode Linux: of the manager at steps of create, NIC add and NIC remove, and of the VM', async function () {
    requireOrSkip(this, hasUml, 'User Mode Linux or slirp4netns is not installed');
    const real = await setUp('uml');
    for (const operation of ['create', 'nic add', 'nic rm']) {
      const steps = (await real.count(operation)).length;
      for (const part of [0.35, 0.8]) {
        const at = Math.ceil(steps * part);
        expect(await real.run({ operation, at, victim: 'manager' }), `${operation}: killed`).to.equal(undefined);
      }
      if (operation === 'nic add') await real.run({ operation, at: Math.ceil(steps / 2), victim: 'vm' });
    }
  });

  it('QEMU: of the manager while a pod is made and while NICs are added, and of the VM', async () => {
    const real = await setUp('qemu');
    for (const operation of ['create', 'nic add']) {
      const at = Math.ceil((await real.count(operation)).length * 0.7);
      expect(await real.run({ operation, at, victim: 'manager' }), `${operation}: killed`).to.equal(undefined);
    }
    await real.run({ operation: 'nic add', at: 20, victim: 'vm' });
  });
});
