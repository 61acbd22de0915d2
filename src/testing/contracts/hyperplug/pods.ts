import assert from 'node:assert/strict';
import type { PodEvent } from '../../../core/pod/pods-api.js';
import { expectCode } from '../../runner.js';
import type { HyperplugContext, HyperplugSuite } from './context.js';
import type { HyperplugContract } from './types.js';

/** Pods as they are made, found, ended. */
export function podContract({ describe, check }: HyperplugSuite, { networks }: HyperplugContract): void {
  describe('createPod', () => {
    check('a pod runs, is listed with what it was given, and is gone after remove()', async ({ pod, hyperplug }) => {
      const made = await pod({ id: 'web', labels: { tier: 'test' }, hostname: 'www' });
      assert.equal(made.id, 'web');
      const [listed] = await hyperplug.listPods();
      assert.equal(listed?.id, 'web');
      assert.equal(listed?.state, 'running');
      assert.equal(listed?.keep, false);
      assert.deepEqual(listed?.labels, { tier: 'test' });
      assert.deepEqual(
        listed?.nics.map(({ id, mac }) => [id, mac]),
        made.nics.list().map(({ id, mac }) => [id, mac]),
      );
      await made.remove();
      assert.deepEqual(await hyperplug.listPods(), []);
    });

    check('a wrong specification is refused by the name of the field', async ({ hyperplug, bench }) => {
      const error = await expectCode(
        hyperplug.createPod({ id: 'web', resource: { vcpu: 'many' as never } }),
        'POD_SPEC_INVALID',
      );
      assert.match(error.message, /resource\.vcpu/);
      assert.match(String(error.details.field), /resource\.vcpu/);
      await expectCode(hyperplug.createPod({ id: 'web', nonsense: 1 } as never), 'POD_SPEC_INVALID');
      await expectCode(hyperplug.createPod('web' as never), 'POD_SPEC_INVALID');
      await expectCode(hyperplug.createPod(null as never), 'POD_SPEC_INVALID');
      await expectCode(hyperplug.createPod({ id: 'web', interfaces: [{ network: 'nowhere' }] }), 'NET_NOT_FOUND');
      assert.deepEqual(await bench.leftovers(), []);
    });

    check('a second pod of a name is refused, and the first is left alone', async ({ pod, hyperplug }) => {
      const first = await pod({ id: 'web' });
      await expectCode(hyperplug.createPod({ id: 'web' }), 'POD_ALREADY_EXISTS', 'POD_BUSY');
      assert.equal((await first.status()).state, 'running');
    });

    check('one that is aborted says so, and leaves nothing', async ({ hyperplug, bench }) => {
      const reason = new Error('of the test');
      await expectCode(hyperplug.createPod({ id: 'web' }, { signal: AbortSignal.abort(reason) }), 'ABORTED');
      const controller = new AbortController();
      const creation = hyperplug.createPod({ id: 'web' }, { signal: controller.signal });
      setTimeout(() => controller.abort(reason), 5);
      // It may have been faster.
      const outcome = await creation.then(
        (pod) => pod.remove(),
        (error: unknown) => expectCode(Promise.reject(error), 'ABORTED'),
      );
      void outcome;
      assert.deepEqual(await hyperplug.listPods(), []);
      assert.deepEqual(await bench.leftovers(), []);
    });

    check('many at once have addresses of their own', async ({ pod, hyperplug }) => {
      const pods = await Promise.all(Array.from({ length: 8 }, (_, at) => pod({ id: `p${at}` })));
      const macs = new Set(pods.flatMap(({ nics }) => nics.list().map(({ mac }) => mac)));
      assert.equal(macs.size, 8);
      assert.equal((await hyperplug.listPods()).length, 8);
      await Promise.all(pods.map((each) => each.remove()));
      assert.deepEqual(await hyperplug.listPods(), []);
    });

    check('one that is not kept ends with its engine', async ({ another, hyperplug, eventually }) => {
      const engine = await another();
      const pod = await engine.createPod({ id: 'short' });
      await expectCode(pod.release(), 'NOT_SUPPORTED');
      await engine.close();
      await eventually(async () => (await hyperplug.listPods()).length === 0, 'the pod gone');
    });
  });

  describe('kept pods', () => {
    check('outlive their engine, and another takes hold of them', async ({ another, pod, hyperplug }) => {
      const engine = await another();
      await pod({ id: 'kept', keep: true }, engine);
      await engine.close();
      const held = await hyperplug.openPod('kept');
      assert.equal((await held.status()).state, 'running');
      assert.equal(held.nics.list().length, 1);
      await held.release();
      await expectCode(held.spawn({ argv: ['true'] }), 'POD_NOT_RUNNING');
      assert.equal((await hyperplug.listPods())[0]?.state, 'running');
    });

    check('are removed by their id', async ({ pod, hyperplug, bench }) => {
      await (await pod({ id: 'kept', keep: true })).release();
      await hyperplug.removePod('kept');
      assert.deepEqual(await bench.leftovers(), []);
      await expectCode(hyperplug.removePod('kept'), 'POD_NOT_FOUND');
      await expectCode(hyperplug.openPod('kept'), 'POD_NOT_FOUND');
      await expectCode(hyperplug.openPod('No such id!'), 'POD_SPEC_INVALID');
    });

    check('a VM that is killed: its pod is failed, says why, and what it held is free', async (context) => {
      const { pod, hyperplug, bench, within, eventually } = context;
      const made = await pod({ id: 'dies', keep: true });
      const exited = made.exited;
      await bench.killVm('dies');
      const { reason } = await within(exited, 'exited');
      assert.notEqual(reason, 'shutdown');
      await eventually(async () => (await hyperplug.pods.inspect('dies')).state === 'failed', 'the pod failed');
      const details = await hyperplug.pods.inspect('dies');
      assert.ok(details.failure);
      assert.deepEqual(details.addresses, []);
      await expectCode(hyperplug.openPod('dies'), 'POD_NOT_RUNNING');
    });
  });

  lifeCycle({ describe, check });
  looking({ describe, check }, networks[0]);
}

function lifeCycle({ describe, check }: HyperplugSuite): void {
  describe('pods: life', () => {
    check('created, started, stopped, started again, removed', async ({ recorded, hyperplug: { pods }, bench }) => {
      const id = await recorded({ id: 'web', keep: true });
      assert.equal((await pods.inspect(id)).state, 'created');
      assert.equal((await pods.start(id)).state, 'running');
      assert.equal((await pods.start(id)).state, 'running');
      await expectCode(pods.remove(id), 'POD_BUSY');
      const stopped = await pods.stop(id, { graceMs: 0 });
      assert.equal(stopped.state, 'exited');
      assert.equal((await pods.stop(id)).state, 'exited');
      assert.equal((await pods.start(id)).state, 'running');
      await pods.remove(id, { force: true });
      await expectCode(pods.inspect(id), 'POD_NOT_FOUND');
      assert.deepEqual(await bench.leftovers(), []);
    });

    check('what is asked of a pod that is not there, or does not run, is refused', async ({ recorded, hyperplug }) => {
      const { pods } = hyperplug;
      for (const act of ['start', 'stop', 'pause', 'resume', 'inspect', 'wait', 'remove', 'stats', 'open'] as const) {
        await expectCode(pods[act]('nobody'), 'POD_NOT_FOUND');
      }
      const id = await recorded({ id: 'idle', keep: true });
      for (const act of ['pause', 'resume', 'stats', 'open'] as const)
        await expectCode(pods[act](id), 'POD_NOT_RUNNING');
      assert.equal((await pods.wait(id)).state, 'created');
    });

    check(
      'wait() ends with the pod, and at its deadline',
      async ({ recorded, hyperplug: { pods }, within, timeouts }) => {
        const id = await recorded({ id: 'web', keep: true });
        await pods.start(id);
        await expectCode(pods.wait(id, { timeoutMs: timeouts.shortMs }), 'TIMEOUT');
        const waiting = pods.wait(id);
        await pods.stop(id, { graceMs: 0 });
        assert.equal((await within(waiting, 'wait()')).state, 'exited');
      },
    );
  });
}

function looking({ describe, check }: HyperplugSuite, network: string): void {
  describe('pods: looking', () => {
    check('list() by state and label', async ({ recorded, pod, hyperplug: { pods } }) => {
      await recorded({ id: 'a', keep: true, labels: { tier: 'web', env: 'x=y' } });
      await pod({ id: 'b', labels: { tier: 'web' } });
      const ids = async (filter: object) => (await pods.list({ filter })).map(({ id }) => id).sort();
      assert.deepEqual(await ids({}), ['a', 'b']);
      assert.deepEqual(await ids({ states: ['created'] }), ['a']);
      assert.deepEqual(await ids({ states: [] }), []);
      assert.deepEqual(await ids({ labels: { tier: 'web' } }), ['a', 'b']);
      assert.deepEqual(await ids({ labels: { tier: 'web', env: 'x=y' } }), ['a']);
      assert.deepEqual(await ids({ labels: { tier: 'other' } }), []);
    });

    check('inspect() gives the specification with its defaults, which makes the same pod again', async (context) => {
      const { recorded, hyperplug } = context;
      const id = await recorded({ id: 'web', keep: true, hostname: 'www', interfaces: [{ network, mtu: 1400 }] });
      const { spec, hostname } = await hyperplug.pods.inspect(id);
      assert.equal(hostname, 'www');
      await hyperplug.pods.remove(id);
      await recorded(spec as Record<string, unknown>);
      assert.deepEqual((await hyperplug.pods.inspect(id)).spec, spec);
    });

    check('events: those that were, from a sequence on, and as they come', async (context) => {
      const { recorded, hyperplug, within } = context;
      const { pods } = hyperplug;
      const all = async (options: object) => {
        const found: PodEvent[] = [];
        for await (const event of pods.events(options)) found.push(event);
        return found;
      };
      const id = await recorded({ id: 'web', keep: true });
      await pods.start(id);
      await pods.stop(id, { graceMs: 0 });
      const events = await all({ since: 0, pods: [id] });
      assert.deepEqual(
        events.map(({ type }) => type),
        ['created', 'started', 'exited'],
      );
      const since = events[1]?.sequence as number;
      assert.deepEqual(await all({ since, pods: [id] }), events.slice(2));
      assert.deepEqual(await all({ since: 0, pods: ['nobody'] }), []);
      const controller = new AbortController();
      context.defer(() => controller.abort());
      const following = (async () => {
        for await (const event of pods.events({ since, follow: true, signal: controller.signal })) {
          if (event.type === 'removed') return event;
        }
        return undefined;
      })();
      await pods.remove(id);
      assert.equal((await within(following, 'the event'))?.pod, id);
    });

    check('an endless look ends with its signal', async ({ hyperplug, within }: HyperplugContext) => {
      const controller = new AbortController();
      const reading = (async () => {
        for await (const _ of hyperplug.pods.events({ follow: true, signal: controller.signal }));
      })();
      setTimeout(() => controller.abort(), 20);
      // It ends, with or without a word.
      await within(
        reading.catch((error: unknown) => expectCode(Promise.reject(error), 'ABORTED')),
        'the end',
      );
    });
  });
}
