import assert from 'node:assert/strict';
import type { HypervisorVm, VmEvent, VmExit } from '../../../core/hypervisor.js';
import { filesBelow, processesMentioning } from '../../kit/leftovers.js';
import { firstReason } from '../../kit/suite.js';
import { abortedCall, pause, settles } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { HypervisorContext, HypervisorSuite } from './context.js';
import type { HypervisorContract } from './types.js';

/** Exits told by events from now on. */
function exitsOf(vm: HypervisorVm): VmExit[] {
  const exits: VmExit[] = [];
  vm.onEvent((event) => void (event.type === 'exited' && exits.push(event.exit)));
  return exits;
}

export function lifeContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { guest = {}, capabilities, host = {} } = contract;
  const signal = host.signal ?? ((pid, name) => void process.kill(pid, name));

  /** The exit is told once by each of its ways, the same. */
  const toldOnce = async ({ timeouts }: HypervisorContext, vm: HypervisorVm, exits: readonly VmExit[]) => {
    const exit = await settles(vm.exited, timeouts.callMs, 'exited');
    await pause(Math.min(50, timeouts.graceMs));
    assert.deepEqual([...exits], [exit], 'exited events');
    assert.equal(vm.state, 'exited');
    return exit;
  };

  describe('exit', () => {
    check('kill() ends the VM: its answer, exited and one event say the same', async (context) => {
      const vm = await context.launch();
      const exits = exitsOf(vm);
      const answer = await vm.kill(context.options());
      const exit = await toldOnce(context, vm, exits);
      assert.deepEqual(answer, exit);
      assert.equal(exit.reason, 'killed');
      assert.ok(Buffer.byteLength(exit.stderrTail) <= 4096, 'stderrTail is longer than 4 KiB');
    });

    check('kill() twice, at once and later, resolves with the same exit', async ({ launch, options }) => {
      const vm = await launch();
      const [first, second] = await Promise.all([vm.kill(options()), vm.kill(options())]);
      assert.deepEqual(second, first);
      assert.deepEqual(await vm.kill(options()), first);
    });

    check('when kill() has resolved, nothing of the VM is left', async ({ launch, options, id, runDir }) => {
      const vm = await launch();
      await vm.kill(options());
      const left = [await filesBelow(runDir), await processesMentioning(id), (await host.leftovers?.(id)) ?? []];
      assert.deepEqual(left.flat(), []);
    });

    check('a VM that is killed from outside says so, once, with reason killed', async (context) => {
      const vm = await context.launch();
      const exits = exitsOf(vm);
      signal(vm.record().process.pid, 'SIGKILL');
      assert.equal((await toldOnce(context, vm, exits)).reason, 'killed');
      await vm.kill(context.options());
    });

    check(
      'a guest that powers off ends the VM with reason shutdown',
      async (context) => {
        const vm = await context.launchReady();
        const exits = exitsOf(vm);
        await guest.powerOff?.(vm);
        assert.equal((await toldOnce(context, vm, exits)).reason, 'shutdown');
        await vm.kill(context.options());
      },
      !guest.powerOff && 'the factory offers no guest.powerOff',
    );

    check(
      'a guest that panics says so by an event, and ends with reason panicked',
      async (context) => {
        const vm = await context.launchReady();
        const exits = exitsOf(vm);
        const panics: VmEvent[] = [];
        vm.onEvent((event) => void (event.type === 'panicked' && panics.push(event)));
        await guest.panic?.(vm);
        assert.equal((await toldOnce(context, vm, exits)).reason, 'panicked');
        assert.equal(panics.length, 1, 'panicked events');
        await vm.kill(context.options());
      },
      !guest.panic && 'the factory offers no guest.panic',
    );

    check(
      'shutdown() resolves with the exit when the guest has powered off',
      async (context) => {
        const vm = await context.launchReady();
        const exits = exitsOf(vm);
        const exit = await vm.shutdown(context.options());
        assert.deepEqual(exit, await toldOnce(context, vm, exits));
        assert.equal(exit.reason, 'shutdown');
      },
      firstReason(
        [!capabilities.gracefulShutdown, 'gracefulShutdown is not declared'],
        [!guest.answersPowerButton, 'the guest does not answer (guest.answersPowerButton)'],
      ),
    );

    check(
      'shutdown() with a signal that has fired rejects with its reason, and the VM runs on',
      async ({ launch }) => {
        const vm = await launch();
        await expectCode(vm.shutdown(abortedCall()), 'ABORTED');
        assert.equal(vm.state, 'running');
      },
      !capabilities.gracefulShutdown && 'gracefulShutdown is not declared',
    );

    check(
      'shutdown() rejects with NOT_SUPPORTED where gracefulShutdown is not declared',
      async ({ launch, options }) => {
        const vm = await launch();
        await expectCode(vm.shutdown(options()), 'NOT_SUPPORTED');
        assert.equal(vm.state, 'running');
      },
      capabilities.gracefulShutdown && 'it is declared',
    );

    check('each listener gets each event once; one that was taken off gets none', async ({ launch, options }) => {
      const vm = await launch();
      const counts = [0, 0, 0];
      const count = (at: number) => () => {
        counts[at] = (counts[at] ?? 0) + 1;
      };
      vm.onEvent(count(0));
      const off = vm.onEvent(count(1));
      vm.onEvent(count(2));
      off();
      off();
      await vm.kill(options());
      await vm.exited;
      assert.ok((counts[0] ?? 0) > 0, 'the first listener got nothing');
      assert.equal(counts[2], counts[0]);
      assert.equal(counts[1], 0, 'the listener that was taken off got an event');
    });
  });

  describe('calls that wait', () => {
    const keeps =
      capabilities.detachNeedsGuest === 'helps' && capabilities.hotplugNic && (guest.keepNics || !guest.unplugsNics);
    const cannotKeep = !keeps && 'no way to make the guest keep a NIC (guest.keepNics)';

    /** A NIC that the guest does not give back. */
    const stuckNic = async ({ launchReady, nic, options }: HypervisorContext) => {
      const vm = await launchReady();
      const wanted = await nic('n0');
      await vm.attachNic(wanted, options());
      const letGo = await guest.keepNics?.(vm);
      return { vm, wanted, letGo };
    };

    check(
      'detachNic() of a NIC that the guest keeps rejects with TIMEOUT; the NIC stays attached and its slot taken',
      async (context) => {
        const { options, timeouts, nic } = context;
        const { vm, wanted } = await stuckNic(context);
        await expectCode(vm.detachNic('n0', options(timeouts.shortMs)), 'TIMEOUT');
        assert.deepEqual(
          vm.nics().map(({ id, mac }) => ({ id, mac })),
          [{ id: wanted.id, mac: wanted.mac }],
        );
        const slot = vm.nics()[0]?.slot;
        const other = await vm.attachNic(await nic('n1'), options());
        assert.notEqual(other.slot, slot, 'the slot of a NIC that is still there was given away');
      },
      cannotKeep,
    );

    check(
      'a NIC that the guest gives back after its detachNic() timed out is told by an event, and its slot is free',
      async (context) => {
        const { options, timeouts, nic } = context;
        const { vm, letGo } = await stuckNic(context);
        await expectCode(vm.detachNic('n0', options(timeouts.shortMs)), 'TIMEOUT');
        const gone = new Promise<string>((resolve) => {
          vm.onEvent((event) => void (event.type === 'nic-detached' && resolve(event.nicId)));
        });
        await letGo?.();
        assert.equal(await settles(gone, timeouts.callMs, 'the nic-detached event'), 'n0');
        assert.deepEqual([...vm.nics()], []);
        await vm.attachNic(await nic('n0'), options());
      },
      cannotKeep || (!guest.keepNics && 'the factory offers no guest.keepNics'),
    );

    check(
      'every waiting call rejects with VM_EXITED at once when the VM dies',
      async (context) => {
        const { options, timeouts } = context;
        const { vm } = await stuckNic(context);
        const waiting = vm.detachNic('n0', options());
        waiting.catch(() => {});
        await pause(Math.min(100, timeouts.shortMs));
        signal(vm.record().process.pid, 'SIGKILL');
        await expectCode(settles(waiting, timeouts.graceMs, 'detachNic() of a VM that died'), 'VM_EXITED');
      },
      cannotKeep,
    );
  });
}
