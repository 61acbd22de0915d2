import assert from 'node:assert/strict';
import { freePort, holdPort, portTaken } from '../../kit/ports.js';
import { firstReason } from '../../kit/suite.js';
import { eventually } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { forwardOf, type HypervisorContext, type HypervisorSuite } from './context.js';
import { undetachable } from './nics.js';
import type { HypervisorContract } from './types.js';

export function forwardContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { capabilities } = contract;
  const { nicEndpoints, hotplugNic, liveForwards } = capabilities;
  const noHotBuiltin = firstReason(
    [!nicEndpoints.includes('builtin'), 'the builtin endpoint is not declared'],
    [!hotplugNic, 'hotplugNic is not declared'],
  );
  const noLive = noHotBuiltin || (!liveForwards && 'liveForwards is not declared');

  /** Where the backend waits for the guest's link, its ports do, too. */
  const taken = async ({ timeouts }: HypervisorContext, port: number) => {
    if (capabilities.linkUp === 'guest-up') {
      await eventually(() => portTaken(port), timeouts.callMs, 'somebody listens on the host port');
    }
    assert.ok(await portTaken(port), 'nobody listens on the host port');
  };

  describe('forwards of a builtin NIC', () => {
    check(
      'the host port is taken while the NIC is attached, and free when it is not',
      async (context) => {
        const { launchReady, builtinNic, options, beforeDetach } = context;
        const vm = await launchReady();
        const port = await freePort();
        const nic = builtinNic('n0', [forwardOf(port)]);
        await vm.attachNic(nic, options());
        await taken(context, port);
        await beforeDetach(vm, nic);
        await vm.detachNic('n0', options());
        assert.ok(!(await portTaken(port)), 'the host port is still taken');
      },
      noHotBuiltin || undetachable(contract),
    );

    check(
      'the host port is free when kill() has resolved',
      async ({ launch, builtinNic, options }) => {
        const vm = await launch();
        const port = await freePort();
        await vm.attachNic(builtinNic('n0', [forwardOf(port)]), options());
        await vm.kill(options());
        assert.ok(!(await portTaken(port)), 'the host port is still taken');
      },
      noHotBuiltin,
    );

    check(
      'attachNic() with a port that is taken rejects with NET_PORT_IN_USE, leaves nothing, and a retry works',
      async ({ launch, builtinNic, options, defer }) => {
        const vm = await launch();
        const held = await holdPort();
        defer(() => held.close());
        const other = await freePort();
        const nic = builtinNic('n0', [forwardOf(other), forwardOf(held.port)]);
        for (let round = 0; round < 2; round++) {
          await expectCode(vm.attachNic(nic, options()), 'NET_PORT_IN_USE');
          assert.deepEqual([...vm.nics()], []);
          assert.ok(!(await portTaken(other)), 'the forward that could be made remained');
        }
        await held.close();
        await vm.attachNic(nic, options());
        assert.equal(vm.nics().length, 1);
      },
      noHotBuiltin,
    );

    check(
      'addForward() takes the port at once and removeForward() gives it back, again and again',
      async ({ launch, builtinNic, options, timeouts }) => {
        const vm = await launch();
        await vm.attachNic(builtinNic('n0', []), options());
        const forward = forwardOf(await freePort());
        for (let round = 0; round < 2; round++) {
          await vm.addForward('n0', forward, options());
          assert.ok(await portTaken(forward.hostPort), 'nobody listens on the host port');
          await vm.removeForward('n0', forward, options());
          await eventually(async () => !(await portTaken(forward.hostPort)), timeouts.graceMs, 'the port is free');
        }
      },
      noLive,
    );

    check(
      'addForward() of a port that is taken rejects with NET_PORT_IN_USE, and works once it is free',
      async ({ launch, builtinNic, options, defer }) => {
        const vm = await launch();
        await vm.attachNic(builtinNic('n0', []), options());
        const held = await holdPort();
        defer(() => held.close());
        await expectCode(vm.addForward('n0', forwardOf(held.port), options()), 'NET_PORT_IN_USE');
        await held.close();
        await vm.addForward('n0', forwardOf(held.port), options());
      },
      noLive,
    );

    check(
      'addForward() for a NIC that is not there rejects with VM_NIC_NOT_FOUND',
      async ({ launch, options }) => {
        const vm = await launch();
        const port = await freePort();
        await expectCode(vm.addForward('n0', forwardOf(port), options()), 'VM_NIC_NOT_FOUND');
        assert.ok(!(await portTaken(port)));
      },
      noLive,
    );

    check(
      'addForward() and removeForward() reject with NOT_SUPPORTED where liveForwards is not declared',
      async ({ launch, options }) => {
        const vm = await launch();
        const forward = forwardOf(await freePort());
        await expectCode(vm.addForward('n0', forward, options()), 'NOT_SUPPORTED');
        await expectCode(vm.removeForward('n0', forward, options()), 'NOT_SUPPORTED');
      },
      liveForwards && 'it is declared',
    );
  });
}
