import assert from 'node:assert/strict';
import type { VmRecord } from '../../../core/hypervisor.js';
import { jsonRoundTrip, outcomeOf } from '../../kit/assertions.js';
import { abortedCall, settles } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { HypervisorSuite } from './context.js';
import { stillAnswers } from './launch.js';
import type { HypervisorContract } from './types.js';

export function adoptContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { capabilities } = contract;
  const notDeclared = !capabilities.adopt && 'adopt is not declared';

  /** A record as another manager has it, after it went through JSON. */
  const written = (record: VmRecord): VmRecord => jsonRoundTrip(record, 'record()');

  describe('record, adopt, destroy', () => {
    check('record() is JSON, tells VM and driver, and stays the same after the exit', async (context) => {
      const vm = await context.launch();
      const record = written(vm.record());
      assert.equal(record.version, 1);
      assert.equal(record.id, context.id);
      assert.equal(record.runDir, context.runDir);
      assert.equal(record.driver, context.driver.name);
      assert.ok(Number.isInteger(record.process.pid) && record.process.pid > 0, 'process.pid');
      assert.ok(Number.isInteger(record.process.startTime) && record.process.startTime > 0, 'process.startTime');
      assert.ok(record.process.bootId.length > 0, 'process.bootId');
      await vm.kill(context.options());
      assert.deepEqual(vm.record(), record);
    });

    check(
      'a VM that was released runs on, and another manager adopts it by its record',
      async (context) => {
        const { launch, nic, options, another, track, timeouts } = context;
        const vm = await launch({ detached: true });
        if (capabilities.hotplugNic) await vm.attachNic(await nic('n0'), options());
        const [record, nics] = [written(vm.record()), [...vm.nics()]];
        await vm.release();
        const adopted = track(await (await another()).adopt(record, options()));
        assert.equal(adopted.id, context.id);
        assert.equal(adopted.state, 'running');
        assert.deepEqual([...adopted.nics()], nics);
        assert.deepEqual(written(adopted.record()).process, record.process);
        await stillAnswers(context, adopted);
        if (capabilities.pause) {
          await adopted.pause(options());
          await adopted.resume(options());
        }
        const exit = await adopted.kill(options());
        assert.equal(exit.reason, 'killed');
        assert.deepEqual(await settles(adopted.exited, timeouts.graceMs, 'exited'), exit);
      },
      notDeclared,
    );

    check(
      'slots of NICs that were there before are taken for the manager that adopts, too',
      async (context) => {
        const { launch, nic, options, another, track } = context;
        const vm = await launch({ detached: true });
        const first = await vm.attachNic(await nic('n0'), options());
        const record = written(vm.record());
        await vm.release();
        const adopted = track(await (await another()).adopt(record, options()));
        await expectCode(adopted.attachNic(await nic('n0'), options()), 'VM_NIC_EXISTS');
        const second = await adopted.attachNic(await nic('n1'), options());
        assert.notEqual(second.slot, first.slot);
      },
      notDeclared || (!capabilities.hotplugNic && 'hotplugNic is not declared'),
    );

    check(
      'adopt() of a VM that paused tells so',
      async ({ launch, options, another, track }) => {
        const vm = await launch({ detached: true });
        await vm.pause(options());
        const record = written(vm.record());
        await vm.release();
        const adopted = track(await (await another()).adopt(record, options()));
        assert.equal(adopted.state, 'paused');
        await adopted.resume(options());
        assert.equal(adopted.state, 'running');
      },
      notDeclared || (!capabilities.pause && 'pause is not declared'),
    );

    check(
      'adopt() of a VM that is gone rejects with VM_ADOPT_FAILED',
      async ({ launch, options, another }) => {
        const vm = await launch({ detached: true });
        const record = written(vm.record());
        await vm.kill(options());
        await expectCode((await another()).adopt(record, options()), 'VM_ADOPT_FAILED');
      },
      notDeclared,
    );

    check(
      "adopt() of a record whose pid is another process's now rejects with VM_ADOPT_FAILED, and that one lives",
      async (context) => {
        const { launch, options, another } = context;
        const vm = await launch({ detached: true });
        const record = written(vm.record());
        const other = await context.bystander();
        const manager = await another();
        for (const recycled of recycledRecords(record, other.identity)) {
          await expectCode(manager.adopt(recycled, options()), 'VM_ADOPT_FAILED');
        }
        assert.ok(other.alive(), 'the other process was ended');
        assert.equal(vm.state, 'running');
      },
      notDeclared,
    );

    check(
      'adopt() with a signal that has fired rejects with its reason and touches nothing',
      async ({ launch, another, options, track }) => {
        const vm = await launch({ detached: true });
        const record = written(vm.record());
        await vm.release();
        const manager = await another();
        await expectCode(manager.adopt(record, abortedCall()), 'ABORTED');
        assert.equal(track(await manager.adopt(record, options())).state, 'running');
      },
      notDeclared,
    );

    check(
      'adopt() rejects with NOT_SUPPORTED where it is not declared',
      async ({ launch, another, options }) => {
        const vm = await launch();
        await expectCode((await another()).adopt(vm.record(), options()), 'NOT_SUPPORTED');
        assert.equal(vm.state, 'running');
      },
      capabilities.adopt && 'it is declared',
    );

    check('destroy() ends the recorded VM and removes its files; done twice it is no error', async (context) => {
      const { launch, options, another, timeouts } = context;
      const vm = await launch({ detached: capabilities.adopt });
      const record = written(vm.record());
      if (capabilities.adopt) await vm.release();
      const manager = await another();
      await manager.destroy(record, options());
      if (!capabilities.adopt) await settles(vm.exited, timeouts.callMs, 'exited');
      const left = (await contract.host?.leftovers?.(context.id)) ?? [];
      assert.deepEqual([...left], [], 'destroy() resolved, but this is still there');
      await manager.destroy(record, options());
    });

    check("destroy() of a record whose pid is another process's now leaves that one alone", async (context) => {
      const { launch, options, another } = context;
      const vm = await launch();
      const record = written(vm.record());
      await vm.kill(options());
      const other = await context.bystander();
      const manager = await another();
      for (const recycled of recycledRecords(record, other.identity)) {
        const outcome = await outcomeOf(manager.destroy(recycled, options()));
        assert.ok(other.alive(), 'the other process was ended');
        assert.ok(
          'value' in outcome,
          `destroy() of a VM that is gone rejected: ${'error' in outcome && outcome.error}`,
        );
      }
    });

    check('traces() tells another manager of the VM and its directory as long as it runs', async (context) => {
      const { launch, options, another, runDir } = context;
      const manager = await another();
      if (!manager.traces) return;
      const mine = async () => (await manager.traces?.(options()))?.filter((trace) => trace.runDir === runDir) ?? [];
      assert.deepEqual(await mine(), [], 'before the launch');
      const vm = await launch();
      assert.deepEqual(await mine(), [{ process: vm.record().process, runDir }]);
      await vm.kill(options());
      assert.deepEqual(await mine(), [], 'after the end');
    });

    check('reap() ends what a launch left in a run directory, and is idempotent', async (context) => {
      const { driver, launch, options, runDir, timeouts } = context;
      if (!driver.reap) return;
      await driver.reap(runDir, options());
      const vm = await launch();
      await driver.reap(runDir, options());
      await settles(vm.exited, timeouts.callMs, 'exited after reap()');
      await driver.reap(runDir, options());
    });
  });
}

/** The same record, as if its process had gone and another had its pid: by start time, and by boot. */
function recycledRecords(record: VmRecord, other: VmRecord['process']): VmRecord[] {
  const { startTime, bootId } = record.process;
  const later = other.startTime === startTime ? startTime + 1 : startTime;
  return [
    { ...record, process: { pid: other.pid, startTime: later, bootId } },
    { ...record, process: { ...other, bootId: '00000000-0000-4000-8000-000000000000' } },
  ];
}
