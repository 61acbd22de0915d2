import assert from 'node:assert/strict';
import type { PodSpecInput } from '../../../core/pod/spec.js';
import type { TemplateInput } from '../../../core/template/types.js';
import { expectCode } from '../../runner.js';
import { POSIX_PROGRAMS } from '../agent/types.js';
import type { HyperplugContext, HyperplugSuite } from './context.js';
import type { HyperplugContract } from './types.js';

const MEMORY_MIB = 160;

/** Templates, and pods that go on from them. */
export function templatesContract({ describe, check }: HyperplugSuite, contract: HyperplugContract): void {
  const { lacks = {}, programs = POSIX_PROGRAMS } = contract;
  const none = lacks.templates && 'there are no templates here';

  describe('templates', () => {
    check(
      'are refused where the hypervisor cannot save a VM; a pod boots all the same',
      async ({ hyperplug, pod }) => {
        await expectCode(hyperplug.templates.create({ name: 'small' }), 'NOT_SUPPORTED');
        await expectCode(hyperplug.createPod({ template: 'small' }), 'NOT_SUPPORTED', 'TEMPLATE_NOT_FOUND');
        assert.deepEqual(await hyperplug.templates.list(), []);
        const made = await pod({ template: 'auto' });
        assert.deepEqual((await made.status()).origin, { from: 'boot', template: null });
      },
      !lacks.templates && 'there are templates here',
    );

    check(
      'are made, told, and removed, by every holder alike',
      async (context) => {
        const { hyperplug, another } = context;
        const made = await template(context, { cpus: 1, nicSlots: 2 });
        assert.deepEqual(
          [made.name, made.state, made.why, made.automatic, made.memoryMib, made.nicSlots],
          ['small', 'fresh', null, false, MEMORY_MIB, 2],
        );
        assert.ok(made.sizeBytes > 0);
        const other = await another();
        assert.deepEqual(await other.templates.list(), [made]);
        assert.deepEqual(await other.templates.inspect('small'), made);
        await expectCode(other.templates.create({ name: 'small' }), 'TEMPLATE_EXISTS');
        assert.deepEqual(await hyperplug.templates.inspect('small'), made);
        const anew = await other.templates.create({ name: 'small', memoryMib: MEMORY_MIB }, { replace: true });
        assert.notEqual(anew.createdAt, made.createdAt);
        await other.templates.remove('small');
        assert.deepEqual(await hyperplug.templates.list(), []);
        await expectCode(hyperplug.templates.remove('small'), 'TEMPLATE_NOT_FOUND');
        await expectCode(hyperplug.templates.inspect('small'), 'TEMPLATE_NOT_FOUND');
        for (const name of ['../up', 'Small', 'auto', 'a/b', 'x'.repeat(300)]) {
          await expectCode(hyperplug.templates.inspect(name), 'TEMPLATE_NOT_FOUND', 'API_REQUEST_INVALID');
        }
      },
      none,
    );

    check(
      'with a name or a value that they cannot have are refused by the field',
      async ({ hyperplug, bench }) => {
        for (const [field, wrong] of [
          ['name', { name: '../up' }],
          ['name', { name: 'auto' }],
          ['memoryMib', { name: 'small', memoryMib: 1 }],
          ['cpus', { name: 'small', cpus: 0 }],
          ['nicSlots', { name: 'small', nicSlots: 99 }],
          ['nonsense', { name: 'small', nonsense: 1 }],
        ] as const) {
          const error = await expectCode(hyperplug.templates.create(wrong as TemplateInput), 'TEMPLATE_INVALID');
          assert.equal(error.details.field, field);
        }
        assert.deepEqual(await bench.leftovers(), []);
      },
      none,
    );

    check(
      'one whose making is aborted leaves nothing, and can be made then',
      async (context) => {
        const { hyperplug, bench } = context;
        const controller = new AbortController();
        const making = hyperplug.templates.create({ name: 'small' }, { signal: controller.signal });
        setTimeout(() => controller.abort(new Error('of the test')), 5);
        const outcome = await making.then(
          () => hyperplug.templates.remove('small'),
          (error: unknown) => expectCode(Promise.reject(error), 'ABORTED'),
        );
        void outcome;
        assert.deepEqual(await hyperplug.templates.list(), []);
        assert.deepEqual(await bench.leftovers(), []);
        await template(context);
      },
      none,
    );

    check(
      'a pod goes on from one: it has its values, a NIC, a host name and MACs of its own, and outlives it',
      async (context) => {
        const { pod, hyperplug } = context;
        await template(context, { nicSlots: 2 });
        const pods = await Promise.all(['a', 'b'].map((id) => pod({ id, template: 'small' })));
        for (const made of pods) {
          const { origin, memoryMib, hostname } = await made.status();
          assert.deepEqual(origin, { from: 'template', template: 'small' });
          assert.equal(memoryMib, MEMORY_MIB);
          assert.equal(hostname, made.id);
          assert.equal((await made.nics.read())[0]?.guest?.mac, made.nics.list()[0]?.mac);
          assert.equal((await made.exec(programs.print('out', ''))).stdout, 'out');
          await made.nics.add({ id: 'second' });
        }
        const macs = pods.flatMap(({ nics }) => nics.list().map(({ mac }) => mac));
        assert.equal(new Set(macs).size, 4);
        await hyperplug.templates.remove('small');
        assert.equal((await pods[0]?.exec(programs.print('still', '')))?.stdout, 'still');
      },
      none,
    );

    check(
      'a pod that does not fit the one it names is refused by the field; one that is not there is told',
      async (context) => {
        const { hyperplug, bench } = context;
        await template(context, { nicSlots: 1 });
        for (const [field, spec] of [
          ['resource.memory', { resource: { memory: MEMORY_MIB + 64 } }],
          ['resource.vcpu', { resource: { vcpu: 2 } }],
          ['nicSlots', { nicSlots: 4 }],
          ['volumes[0]', { volumes: [{ name: 'data' }] }],
        ] as [string, PodSpecInput][]) {
          const error = await expectCode(hyperplug.createPod({ ...spec, template: 'small' }), 'POD_SPEC_INVALID');
          assert.equal(error.details.field, field);
          await expectCode(hyperplug.pods.create({ ...spec, template: 'small' }), 'POD_SPEC_INVALID');
        }
        await expectCode(hyperplug.createPod({ template: 'other' }), 'TEMPLATE_NOT_FOUND');
        await expectCode(hyperplug.createPod({ template: '../up' }), 'POD_SPEC_INVALID');
        assert.deepEqual(await bench.leftovers(), []);
      },
      none,
    );

    check(
      'a recorded pod goes on from one at each start',
      async (context) => {
        const { recorded, hyperplug } = context;
        await template(context);
        const id = await recorded({ id: 'web', template: 'small' });
        assert.equal((await hyperplug.pods.inspect(id)).origin, null);
        for (let turn = 0; turn < 2; turn++) {
          const { origin } = await hyperplug.pods.start(id);
          assert.deepEqual(origin, { from: 'template', template: 'small' });
          await hyperplug.pods.stop(id);
        }
      },
      none,
    );

    check(
      'auto: the pod that asks first boots, and later ones go on from what was made meanwhile',
      async ({ pod, hyperplug, eventually, defer }) => {
        const from = async (id: string, spec: Record<string, unknown> = {}) => {
          const made = await pod({ id, template: 'auto', ...spec });
          return (await made.status()).origin?.from;
        };
        assert.equal(await from('first'), 'boot');
        await eventually(async () => (await hyperplug.templates.list()).length === 1, 'a template');
        const [made] = await hyperplug.templates.list();
        assert.ok(made?.automatic && made.name.startsWith('auto-'));
        defer(() => hyperplug.templates.remove(made.name));
        assert.equal(await from('second'), 'template');
        assert.equal(await from('other', { volumes: [{ name: 'data', format: 'tmpfs' }] }), 'template');
      },
      none,
    );
  });
}

async function template(context: HyperplugContext, parts: Record<string, unknown> = {}) {
  const { hyperplug, defer, timeouts } = context;
  const made = await hyperplug.templates.create(
    { name: 'small', memoryMib: MEMORY_MIB, ...parts },
    { timeoutMs: timeouts.callMs },
  );
  defer(async () => {
    const [first] = (await hyperplug.templates.list()).filter(({ name }) => name === 'small');
    if (first) await hyperplug.templates.remove('small');
  });
  return made;
}
