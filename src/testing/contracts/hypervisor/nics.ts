import assert from 'node:assert/strict';
import type { HypervisorVm, VmNic } from '../../../core/hypervisor.js';
import { outcomeOf } from '../../kit/assertions.js';
import { firstReason } from '../../kit/suite.js';
import { abortableCall, abortedCall, eventually, pause } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type HypervisorContext, type HypervisorSuite, SLOTS } from './context.js';
import { ABORT_AFTER_MS } from './launch.js';
import type { HypervisorContract } from './types.js';

export function nicContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { inject = {}, guest = {}, capabilities } = contract;
  const notHot = !capabilities.hotplugNic && 'hotplugNic is not declared';
  type Test = (name: string, body: (context: HypervisorContext) => Promise<void>, unless?: string | false) => void;
  /** A test of what only a driver with hotplugNic has. */
  const hot: Test = (name, body, unless) => check(name, body, notHot || unless);
  /** One in which NICs are taken away. */
  const detaching: Test = (name, body, unless) => hot(name, body, undetachable(contract) || unless);

  describe('NICs of a running VM', () => {
    check(
      'attachNic() and detachNic() reject with NOT_SUPPORTED where hotplugNic is not declared',
      async ({ launch, options, nic }) => {
        const vm = await launch();
        await expectCode(vm.attachNic(await nic('n0'), options()), 'NOT_SUPPORTED');
        await expectCode(vm.detachNic('n0', options()), 'NOT_SUPPORTED');
        assert.deepEqual([...vm.nics()], []);
      },
      capabilities.hotplugNic && 'it is declared',
    );

    hot('attachNic() tells id, MAC and slot, and nics() lists it', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const wanted = await nic('n0');
      const attached = await vm.attachNic(wanted, options());
      assert.deepEqual({ id: attached.id, mac: attached.mac }, { id: wanted.id, mac: wanted.mac });
      assert.ok(Number.isInteger(attached.slot) && attached.slot >= 0, `slot ${attached.slot}`);
      assert.deepEqual([...vm.nics()], [attached]);
    });

    hot(
      'the guest sees a NIC that was attached',
      async ({ launchReady, nic, options, timeouts }) => {
        const vm = await launchReady();
        const wanted = await nic('n0');
        await vm.attachNic(wanted, options());
        const seen = async () => (await guest.macs?.(vm))?.includes(wanted.mac) ?? false;
        await eventually(seen, timeouts.callMs, `the guest sees ${wanted.mac}`);
      },
      !guest.macs && 'the factory offers no guest.macs',
    );

    hot(
      'attachNic() of an id or a MAC that is there rejects with VM_NIC_EXISTS and leaves that NIC',
      async (context) => {
        const { launchReady, nic, options } = context;
        const vm = await launchReady();
        const first = await nic('n0');
        const attached = await vm.attachNic(first, options());
        await expectCode(vm.attachNic(await nic('n0'), options()), 'VM_NIC_EXISTS');
        await expectCode(vm.attachNic(await nic('n1', { mac: first.mac }), options()), 'VM_NIC_EXISTS');
        assert.deepEqual([...vm.nics()], [attached]);
      },
    );

    hot(
      'attachNic() of one id twice at once: one is attached, the other rejects with VM_NIC_EXISTS',
      async (context) => {
        const { launchReady, nic, options } = context;
        const vm = await launchReady();
        const both = [await nic('n0'), await nic('n0')];
        const outcomes = await Promise.all(both.map((each) => outcomeOf(vm.attachNic(each, options()))));
        const won = outcomes.findIndex((outcome) => 'value' in outcome);
        const lost = outcomes.find((outcome) => 'error' in outcome);
        assert.ok(won >= 0 && lost && 'error' in lost, 'both were attached, or none');
        await expectCode(Promise.reject(lost.error), 'VM_NIC_EXISTS');
        assert.deepEqual(
          vm.nics().map(({ mac }) => mac),
          [both[won]?.mac],
        );
      },
    );

    hot('NICs attached at once keep their ids, MACs and slots apart', async (context) => {
      const { launchReady, options } = context;
      const vm = await launchReady();
      const wanted = await someNics(context, slotsOf(context));
      const attached = await Promise.all(wanted.map((each) => vm.attachNic(each, options())));
      const identities = (list: readonly { id: string; mac: string }[]) => list.map(({ id, mac }) => `${id} ${mac}`);
      assert.deepEqual(identities(attached), identities(wanted));
      assert.deepEqual(identities(vm.nics()).sort(), identities(wanted).sort());
      assert.equal(new Set(attached.map(({ slot }) => slot)).size, attached.length, 'two NICs share a slot');
    });

    hot('attachNic() beyond the last slot rejects with VM_NO_SLOT and leaves the others', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const attached = await fill(context, vm);
      const before = [...vm.nics()];
      await expectCode(vm.attachNic(await nic('one-too-many'), options()), 'VM_NO_SLOT');
      assert.deepEqual([...vm.nics()], before);
      assert.equal(before.length, attached.length);
    });

    hot('attachNic() with an endpoint that is not declared rejects with NOT_SUPPORTED', async (context) => {
      const { launchReady, nic, options } = context;
      const { nicEndpoints } = capabilities;
      const vm = await launchReady();
      const wanted = await nic('n0');
      const path = '/no/such/socket';
      for (const kind of ['seqpacket', 'stream'] as const) {
        if (nicEndpoints.includes(kind)) continue;
        await expectCode(vm.attachNic({ ...wanted, endpoint: { kind, path } }, options()), 'NOT_SUPPORTED');
      }
      assert.deepEqual([...vm.nics()], []);
      await vm.attachNic(wanted, options());
    });

    hot('attachNic() with a signal that has fired rejects with its reason and attaches nothing', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const wanted = await nic('n0');
      await expectCode(vm.attachNic(wanted, abortedCall()), 'ABORTED');
      assert.deepEqual([...vm.nics()], []);
      await vm.attachNic(wanted, options());
    });

    detaching('attachNic() aborted on its way leaves nothing, and a retry works', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      for (const [index, delayMs] of ABORT_AFTER_MS.entries()) {
        const wanted = await nic(`n${index}`);
        const call = abortableCall();
        const attaching = outcomeOf(vm.attachNic(wanted, call));
        if (delayMs > 0) await pause(delayMs);
        call.abort();
        const outcome = await attaching;
        if ('value' in outcome) assert.ok(listed(vm, wanted), 'attachNic() resolved, but nics() does not list it');
        else {
          await expectCode(Promise.reject(outcome.error), 'ABORTED');
          assert.ok(!listed(vm, wanted), 'attachNic() rejected, but nics() lists it');
          await vm.attachNic(wanted, options());
        }
        await detach(context, vm, wanted);
      }
      await fill(context, vm);
    });

    hot(
      'attachNic() that fails on its way leaves nothing: retries work, and no slot is lost',
      async (context) => {
        const { driver, launchReady, nic, options } = context;
        const vm = await launchReady();
        const wanted = await nic('n0');
        for (let failures = 0; failures <= slotsOf(context); failures++) {
          await inject.attach?.(driver, vm);
          const outcome = await outcomeOf(vm.attachNic(wanted, options()));
          assert.ok('error' in outcome, 'attachNic() resolved though it was made to fail');
          assert.deepEqual([...vm.nics()], [], 'a NIC that was not attached is listed');
        }
        await vm.attachNic(wanted, options());
        await fill(context, vm, 1);
      },
      !inject.attach && 'the factory offers no inject.attach',
    );

    detaching('detachNic() frees the NIC: its event has come, and nics() no longer lists it', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const wanted = await nic('n0');
      await vm.attachNic(wanted, options());
      const gone: string[] = [];
      vm.onEvent((event) => void (event.type === 'nic-detached' && gone.push(event.nicId)));
      await detach(context, vm, wanted);
      assert.deepEqual(gone, ['n0'], 'nic-detached events when detachNic() resolved');
      assert.deepEqual([...vm.nics()], []);
    });

    detaching(
      'detachNic() resolves only when the device is gone from the guest',
      async (context) => {
        const { launchReady, nic, options, beforeDetach } = context;
        const vm = await launchReady();
        const wanted = await nic('n0');
        await vm.attachNic(wanted, options());
        const looks: Promise<readonly string[] | undefined>[] = [];
        const look = async () => guest.macs?.(vm);
        await beforeDetach(vm, wanted);
        await vm.detachNic(wanted.id, { ...options(), onUnplugged: () => void looks.push(look()) });
        assert.ok(looks.length <= 1, `onUnplugged was called ${looks.length} times`);
        for (const macs of [...(await Promise.all(looks)), await look()]) {
          assert.ok(!macs?.includes(wanted.mac), 'the guest still sees the NIC');
        }
      },
      !guest.macs && 'the factory offers no guest.macs',
    );

    detaching('slots are recycled: more NICs come and go than there are slots', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const rounds = slotsOf(context) * 2 + 1;
      for (let round = 0; round < rounds; round++) {
        const wanted = await nic(`n${round}`);
        await vm.attachNic(wanted, options());
        await detach(context, vm, wanted);
      }
      const again = await fill(context, vm);
      for (const each of again) await detach(context, vm, each);
      assert.deepEqual([...vm.nics()], []);
    });

    detaching('an id and a MAC that were detached can be attached again', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const wanted = await nic('n0');
      for (let round = 0; round < 2; round++) {
        await vm.attachNic(wanted, options());
        await detach(context, vm, wanted);
      }
    });

    detaching('NICs come and go at once without harm to each other', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      const [first, second] = [await nic('n0'), await nic('n1')];
      await vm.attachNic(first, options());
      await context.beforeDetach(vm, first);
      await Promise.all([vm.detachNic('n0', options()), vm.attachNic(second, options())]);
      assert.deepEqual(
        vm.nics().map(({ id, mac }) => ({ id, mac })),
        [{ id: second.id, mac: second.mac }],
      );
    });

    hot('detachNic() of a NIC that is not there rejects with VM_NIC_NOT_FOUND', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      await expectCode(vm.detachNic('n0', options()), 'VM_NIC_NOT_FOUND');
      await vm.attachNic(await nic('n0'), options());
      await expectCode(vm.detachNic('n1', options()), 'VM_NIC_NOT_FOUND');
      assert.equal(vm.nics().length, 1);
    });

    hot('detachNic() with a signal that has fired rejects with its reason, and the NIC stays', async (context) => {
      const { launchReady, nic, options } = context;
      const vm = await launchReady();
      await vm.attachNic(await nic('n0'), options());
      await expectCode(vm.detachNic('n0', abortedCall()), 'ABORTED');
      assert.equal(vm.nics().length, 1);
    });

    detaching(
      'detachNic() that fails leaves the NIC attached and its slot taken; detaching it later works',
      async (context) => {
        const { driver, launchReady, nic, options } = context;
        const vm = await launchReady();
        const nics = await fill(context, vm);
        const [first] = nics as [VmNic];
        await inject.detach?.(driver, vm);
        await context.beforeDetach(vm, first);
        const outcome = await outcomeOf(vm.detachNic(first.id, options()));
        assert.ok('error' in outcome, 'detachNic() resolved though it was made to fail');
        assert.ok(listed(vm, first), 'the NIC is gone from nics()');
        await expectCode(vm.attachNic(await nic('one-too-many'), options()), 'VM_NO_SLOT');
        await detach(context, vm, first);
        await vm.attachNic(await nic('instead'), options());
      },
      !inject.detach && 'the factory offers no inject.detach',
    );
  });
}

const slotsOf = ({ driver }: HypervisorContext) => Math.min(SLOTS, driver.capabilities.maxNics);

/** Why NICs cannot be detached here, if they cannot. */
export function undetachable({ capabilities, guest = {} }: HypervisorContract): string | false {
  const need = capabilities.detachNeedsGuest;
  return firstReason(
    [need === 'helps' && !guest.unplugsNics, 'the guest does not give NICs back (guest.unplugsNics)'],
    [need === 'link-down' && !guest.linkDown, 'the factory offers no guest.linkDown'],
  );
}

const listed = (vm: HypervisorVm, { id, mac }: VmNic) => vm.nics().some((each) => each.id === id && each.mac === mac);

async function detach(context: HypervisorContext, vm: HypervisorVm, nic: VmNic): Promise<void> {
  await context.beforeDetach(vm, nic);
  await vm.detachNic(nic.id, context.options());
}

async function someNics({ nic }: HypervisorContext, count: number): Promise<VmNic[]> {
  const nics: VmNic[] = [];
  for (let index = 0; index < count; index++) nics.push(await nic(`fill-${index}`));
  return nics;
}

/** Takes every slot that is left. */
async function fill(context: HypervisorContext, vm: HypervisorVm, taken = 0): Promise<VmNic[]> {
  const nics = await someNics(context, slotsOf(context) - taken);
  for (const each of nics) await vm.attachNic(each, context.options());
  return nics;
}
