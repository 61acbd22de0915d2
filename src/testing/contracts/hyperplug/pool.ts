import assert from 'node:assert/strict';
import { expectCode } from '../../runner.js';
import { POSIX_PROGRAMS } from '../agent/types.js';
import type { HyperplugContext, HyperplugSuite } from './context.js';
import type { HyperplugContract } from './types.js';

/** Clones that wait for pods. */
export function poolContract({ describe, check }: HyperplugSuite, contract: HyperplugContract): void {
  const { lacks = {}, programs = POSIX_PROGRAMS } = contract;
  const none = lacks.templates && 'there are no templates here';

  describe('pool', () => {
    check('is empty until it is filled, and can be emptied then', async ({ hyperplug, bench }) => {
      const { size, ready, claims } = await hyperplug.pool.status();
      assert.deepEqual([size, ready, claims], [0, [], 0]);
      assert.deepEqual((await hyperplug.pool.drain()).ready, []);
      const error = await expectCode(hyperplug.pool.fill({ size: 1000 }), 'TEMPLATE_INVALID', 'API_REQUEST_INVALID');
      assert.match(error.message, /size/);
      assert.deepEqual(await bench.leftovers(), []);
    });

    check(
      'is refused where the hypervisor cannot make clones',
      async ({ hyperplug }) => {
        await expectCode(hyperplug.pool.fill({ size: 1 }), 'NOT_SUPPORTED');
      },
      !lacks.templates && 'it can',
    );

    check(
      'a pod that fits takes a clone and makes it its own; the pool is filled again, and drained',
      async (context) => {
        const { hyperplug, pod, bench, eventually } = context;
        const filled = await fill(context, 2);
        assert.equal(filled.ready.length, 2);
        assert.equal(filled.failure, null);
        const pids = filled.ready.map(({ pid }) => pid);
        const made = await pod({ id: 'web', hostname: 'www' });
        const status = await made.status();
        assert.equal(status.origin?.from, 'pool');
        assert.ok(pids.includes(status.pid ?? 0));
        assert.equal(status.hostname, 'www');
        assert.equal((await made.nics.read())[0]?.guest?.mac, made.nics.list()[0]?.mac);
        assert.equal((await made.exec(programs.print('out', ''))).stdout, 'out');
        await made.nics.add({ id: 'second' });
        await eventually(async () => (await hyperplug.pool.status()).ready.length === 2, 'the pool to be full again');
        const again = await hyperplug.pool.status();
        assert.equal(again.claims, 1);
        assert.ok(!again.ready.some(({ pid }) => pid === status.pid));
        const report = await hyperplug.gc();
        assert.deepEqual(
          report.findings.filter(({ action }) => action === 'removed' || action === 'finished'),
          [],
        );
        assert.equal((await made.exec(programs.print('still', ''))).stdout, 'still');
        assert.deepEqual((await hyperplug.pool.drain()).ready, []);
        await made.remove();
        assert.deepEqual(await bench.leftovers(), []);
      },
      none,
    );

    check(
      'a pod that does not fit, or wants none, boots and leaves the pool as it was',
      async (context) => {
        const { hyperplug, pod } = context;
        await fill(context, 1);
        for (const spec of [{ template: 'none' }, { resource: { memory: 160 } }, { nicSlots: 7 }]) {
          const made = await pod(spec);
          assert.deepEqual((await made.status()).origin, { from: 'boot', template: null });
        }
        await expectCode(hyperplug.createPod({ template: 'other' }), 'TEMPLATE_NOT_FOUND');
        const { ready, claims } = await hyperplug.pool.status();
        assert.deepEqual([ready.length, claims], [1, 0]);
      },
      none,
    );

    check(
      'one whose pod comes to nothing is not lost, nor left',
      async (context) => {
        const { hyperplug, pod, bench, eventually } = context;
        await fill(context, 1);
        await pod({ id: 'web', template: 'none' });
        await expectCode(hyperplug.createPod({ id: 'web' }), 'POD_ALREADY_EXISTS', 'POD_BUSY');
        await expectCode(hyperplug.createPod({ interfaces: [{ network: 'nowhere' }] }), 'NET_NOT_FOUND');
        await eventually(async () => (await hyperplug.pool.status()).ready.length === 1, 'the pool to be full again');
        await hyperplug.pool.drain();
        await hyperplug.removePod('web', { force: true });
        assert.deepEqual(await bench.leftovers(), []);
      },
      none,
    );

    check(
      'a recorded pod takes one, ends, and starts again',
      async (context) => {
        const { hyperplug, recorded, bench } = context;
        await fill(context, 1);
        const id = await recorded({ id: 'web' });
        assert.equal((await hyperplug.pods.start(id)).origin?.from, 'pool');
        assert.equal((await hyperplug.pods.stop(id)).state, 'exited');
        await hyperplug.pool.drain();
        assert.equal((await hyperplug.pods.start(id)).origin?.from, 'boot');
        await hyperplug.pods.stop(id);
        await hyperplug.pods.remove(id);
        assert.deepEqual(await bench.leftovers(), []);
      },
      none,
    );
  });
}

/** Of the process that has it; drained after the test. */
async function fill({ hyperplug, defer, timeouts }: HyperplugContext, size: number) {
  defer(() => hyperplug.pool.drain().then(() => {}));
  return hyperplug.pool.fill({ size, timeoutMs: timeouts.callMs });
}
