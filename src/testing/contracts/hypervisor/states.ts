import assert from 'node:assert/strict';
import { isHyperplugError } from '../../../core/errors.js';
import type { HypervisorVm } from '../../../core/hypervisor.js';
import { outcomeOf } from '../../kit/assertions.js';
import { freePort } from '../../kit/ports.js';
import { expectCode } from '../../runner.js';
import { forwardOf, type HypervisorContext, type HypervisorSuite } from './context.js';
import { undetachable } from './nics.js';
import type { HypervisorContract } from './types.js';

type Operation = (vm: HypervisorVm, context: HypervisorContext) => Promise<unknown>;

/** Every operation but kill(), record() and release(), by name; NIC `there` is attached where the driver can. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  openChannel: async (vm, { options, spec }) =>
    (await vm.openChannel(spec().channels[0] as string, options())).destroy(),
  attachNic: async (vm, { options, nic }) => vm.attachNic(await nic('more'), options()),
  detachNic: (vm, { options, timeouts }) => vm.detachNic('there', options(timeouts.shortMs)),
  addForward: async (vm, { options }) => vm.addForward('there', forwardOf(await freePort()), options()),
  removeForward: async (vm, { options }) => vm.removeForward('there', forwardOf(await freePort()), options()),
  pause: (vm, { options }) => vm.pause(options()),
  resume: (vm, { options }) => vm.resume(options()),
  shutdown: (vm, { options, timeouts }) => vm.shutdown(options(timeouts.shortMs)),
};

export function stateContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { capabilities } = contract;
  const declared: Readonly<Record<string, boolean>> = {
    attachNic: capabilities.hotplugNic,
    detachNic: capabilities.hotplugNic,
    addForward: capabilities.liveForwards,
    removeForward: capabilities.liveForwards,
    pause: capabilities.pause,
    resume: capabilities.pause,
    shutdown: capabilities.gracefulShutdown,
  };

  const withNic = async (context: HypervisorContext, detached: boolean) => {
    const vm = await context.launch({ detached });
    // Forwards are those of a NIC of the hypervisor's own network.
    const own = capabilities.liveForwards && capabilities.nicEndpoints.includes('builtin');
    const nic = own ? context.builtinNic('there', []) : await context.nic('there');
    if (capabilities.hotplugNic) await vm.attachNic(nic, context.options());
    return vm;
  };

  /** Which operations do not reject with VM_NOT_RUNNING, in words. */
  const notRefused = async (vm: HypervisorVm, context: HypervisorContext) => {
    const wrong: string[] = [];
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      const outcome = await outcomeOf(operation(vm, context));
      const code = 'error' in outcome && isHyperplugError(outcome.error) ? outcome.error.code : undefined;
      if (code === 'VM_NOT_RUNNING' || (declared[name] === false && code === 'NOT_SUPPORTED')) continue;
      wrong.push(`${name}() ${'value' in outcome ? 'resolved' : `rejected with ${code ?? String(outcome.error)}`}`);
    }
    return wrong;
  };

  describe('states', () => {
    check(
      'of a VM that has exited, every call but kill() and record() rejects with VM_NOT_RUNNING',
      async (context) => {
        const vm = await withNic(context, false);
        const record = vm.record();
        const exit = await vm.kill(context.options());
        assert.deepEqual(await notRefused(vm, context), []);
        assert.equal(vm.state, 'exited');
        assert.ok(Array.isArray(vm.nics()));
        vm.onEvent(() => {})();
        assert.deepEqual(vm.record(), record);
        assert.deepEqual(await vm.kill(context.options()), exit);
      },
    );

    check(
      'of a VM that was released, every call rejects with VM_NOT_RUNNING, kill() too, and it runs on',
      async (context) => {
        const vm = await withNic(context, true);
        const record = vm.record();
        await vm.release();
        assert.deepEqual(await notRefused(vm, context), []);
        await expectCode(vm.kill(context.options()), 'VM_NOT_RUNNING');
        assert.deepEqual(vm.record(), record);
        const adopted = context.track(await (await context.another()).adopt(record, context.options()));
        assert.equal(adopted.state, 'running');
      },
      !capabilities.adopt && 'adopt is not declared',
    );

    check(
      'of a VM that is paused, each call works or rejects with VM_NOT_RUNNING; resumed, it is as usable as before',
      async (context) => {
        const { options, nic } = context;
        const vm = await withNic(context, false);
        const wrong: string[] = [];
        for (const [name, operation] of Object.entries(OPERATIONS)) {
          if (name === 'resume' || declared[name] === false) continue;
          await vm.pause(options());
          const outcome = await outcomeOf(operation(vm, context));
          const code = 'error' in outcome && isHyperplugError(outcome.error) ? outcome.error.code : undefined;
          // What waits for the guest may wait until its deadline.
          const waits = (name === 'detachNic' || name === 'shutdown') && code === 'TIMEOUT';
          const refused = code === 'VM_NOT_RUNNING' || code === 'VM_NIC_NOT_FOUND' || waits;
          if ('error' in outcome && !refused) wrong.push(`${name}() rejected with ${code ?? String(outcome.error)}`);
          if (vm.state === 'exited') break;
        }
        assert.deepEqual(wrong, []);
        if (vm.state === 'exited') return;
        await vm.resume(options());
        assert.equal(vm.state, 'running');
        if (capabilities.hotplugNic) await vm.attachNic(await nic('afterwards'), options());
      },
      !capabilities.pause && 'pause is not declared',
    );

    check(
      'of a VM that runs, every declared call works, and every other rejects with NOT_SUPPORTED',
      async (context) => {
        const { options } = context;
        const vm = await context.launchReady();
        const there = capabilities.hotplugNic ? await context.nic('there') : undefined;
        if (there) await vm.attachNic(there, options());
        for (const [name, operation] of Object.entries(OPERATIONS)) {
          if (declared[name] === false) await expectCode(operation(vm, context), 'NOT_SUPPORTED');
          else if (!['addForward', 'removeForward', 'detachNic', 'shutdown'].includes(name))
            await operation(vm, context);
        }
        if (there && !undetachable(contract)) {
          await context.beforeDetach(vm, there);
          await vm.detachNic('there', options());
        }
        await vm.kill(options());
      },
    );
  });
}
