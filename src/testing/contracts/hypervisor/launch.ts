import assert from 'node:assert/strict';
import type { NicEndpoint, NicEndpointKind, VmSpec } from '../../../core/hypervisor.js';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen, assertNamesField, outcomeOf } from '../../kit/assertions.js';
import { holdPort } from '../../kit/ports.js';
import { firstReason } from '../../kit/suite.js';
import { abortableCall, abortedCall, pause } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { forwardOf, type HypervisorContext, type HypervisorSuite } from './context.js';
import type { HypervisorContract } from './types.js';

const ENDPOINTS: { readonly [K in NicEndpointKind]: NicEndpoint & { kind: K } } = {
  'tap-fd': { kind: 'tap-fd', fds: [], vnetHdr: false },
  'tap-name': { kind: 'tap-name', name: 'no-such-tap' },
  interface: { kind: 'interface', name: 'no-such-if' },
  seqpacket: { kind: 'seqpacket', path: '/no/such/socket' },
  stream: { kind: 'stream', path: '/no/such/socket' },
  builtin: { kind: 'builtin', forwards: [], restricted: false },
};

/** Moments at which a call is aborted: at once, a turn later, and further on its way. */
export const ABORT_AFTER_MS = [0, 1, 5, 20, 60] as const;

export function launchContract(
  { describe, check }: HypervisorSuite,
  { inject = {}, readsKernel = true, capabilities }: HypervisorContract,
): void {
  const { nicEndpoints, coldplugNic, builtinNetwork, netns, adopt } = capabilities;
  describe('launch', () => {
    check('capabilities are complete, frozen throughout, and what the plugin declared', async ({ driver }) => {
      CAPABILITY_SCHEMAS.hypervisor.parse(driver.capabilities);
      assertDeepFrozen(driver.capabilities, 'capabilities');
      assert.deepEqual(driver.capabilities, capabilities);
    });

    check(
      'initNetwork() is idempotent',
      async ({ driver, options }) => {
        assert.ok(driver.initNetwork, 'builtinNetwork is declared, but there is no initNetwork()');
        await driver.initNetwork(options());
        await driver.initNetwork(options());
      },
      !builtinNetwork && 'builtinNetwork is not declared',
    );

    check(
      'initNetwork(), if there is one, rejects with NOT_SUPPORTED where builtinNetwork is not declared',
      async ({ driver, options }) => {
        if (driver.initNetwork) await expectCode(driver.initNetwork(options()), 'NOT_SUPPORTED');
      },
      builtinNetwork && 'it is declared',
    );

    check('launch() gives a running VM of the id asked for, without NICs', async ({ launch, id }) => {
      const vm = await launch();
      assert.equal(vm.id, id);
      assert.equal(vm.state, 'running');
      assert.deepEqual([...vm.nics()], []);
    });

    check('launch() of a VM that runs rejects with VM_ALREADY_EXISTS and leaves it untouched', async (context) => {
      const { driver, spec, options, launch } = context;
      const vm = await launch();
      const record = vm.record();
      await expectCode(driver.launch(spec(), options()), 'VM_ALREADY_EXISTS');
      assert.equal(vm.state, 'running');
      assert.deepEqual(vm.record(), record);
      await stillAnswers(context, vm);
    });

    check('launch() works again once the VM of that id has ended', async ({ launch, options }) => {
      await (await launch()).kill(options());
      assert.equal((await launch()).state, 'running');
    });

    check('launch() with a signal that has fired rejects with its reason and leaves nothing', async (context) => {
      const error = await expectCode(context.driver.launch(context.spec(), abortedCall()), 'ABORTED');
      assert.match(error.message, /contract suite/);
    });

    check('launch() aborted on its way rejects with the reason, leaves nothing, and a retry works', async (context) => {
      const { driver, spec, launch, options, track } = context;
      for (const delayMs of ABORT_AFTER_MS) {
        const call = abortableCall();
        const launched = outcomeOf(driver.launch(spec(), call));
        if (delayMs > 0) await pause(delayMs);
        call.abort();
        const outcome = await launched;
        // It may have been faster than the abort.
        if ('value' in outcome) await track(outcome.value).kill(options());
        else await expectCode(Promise.reject(outcome.error), 'ABORTED');
      }
      assert.equal((await launch()).state, 'running');
    });

    check(
      'launch() of more than the driver declares rejects with VM_SPEC_INVALID naming the field',
      async (context) => {
        const { maxCpus, maxMemoryMib } = capabilities;
        await refused(context, { cpus: maxCpus + 1 }, 'cpus');
        await refused(context, { memoryMib: maxMemoryMib + 1 }, 'memoryMib');
      },
    );

    check('launch() with more NIC slots than maxNics rejects with VM_SPEC_INVALID', async (context) => {
      const spec = context.spec({ hotplugNicSlots: capabilities.maxNics + 1 });
      await expectCode(context.driver.launch(spec, context.options()), 'VM_SPEC_INVALID', 'NOT_SUPPORTED');
    });

    for (const kind of Object.keys(ENDPOINTS) as NicEndpointKind[]) {
      check(
        `launch() with a NIC endpoint ${kind}, which is not declared, rejects with NOT_SUPPORTED`,
        async ({ driver, spec, options, builtinNic }) => {
          const nic = { ...builtinNic('n0', []), endpoint: ENDPOINTS[kind] };
          await expectCode(driver.launch(spec({ nics: [nic], hotplugNicSlots: 0 }), options()), 'NOT_SUPPORTED');
        },
        nicEndpoints.includes(kind) && 'it is declared',
      );
    }

    check(
      'NICs of the specification are there at boot',
      async ({ launch, nic }) => {
        const nics = [await nic('cold-0'), await nic('cold-1')].slice(0, capabilities.maxNics);
        const vm = await launch({ nics, hotplugNicSlots: 0 });
        const identity = ({ id, mac }: { id: string; mac: string }) => `${id} ${mac}`;
        assert.deepEqual(vm.nics().map(identity).sort(), nics.map(identity).sort());
        assert.equal(new Set(vm.nics().map(({ slot }) => slot)).size, nics.length, 'two NICs share a slot');
      },
      !coldplugNic && 'coldplugNic is not declared',
    );

    check(
      'launch() with NICs rejects with NOT_SUPPORTED where coldplugNic is not declared',
      async ({ driver, spec, options, nic }) => {
        const nics = [await nic('cold-0')];
        await expectCode(driver.launch(spec({ nics, hotplugNicSlots: 0 }), options()), 'NOT_SUPPORTED');
      },
      coldplugNic && 'it is declared',
    );

    check(
      'launch() with a forward whose port is taken rejects with NET_PORT_IN_USE, and a retry works',
      async ({ driver, spec, options, launch, builtinNic, defer }) => {
        const held = await holdPort();
        defer(() => held.close());
        const nics = [builtinNic('n0', [forwardOf(held.port)])];
        await expectCode(driver.launch(spec({ nics }), options()), 'NET_PORT_IN_USE');
        await held.close();
        assert.equal((await launch({ nics })).state, 'running');
      },
      firstReason(
        [!nicEndpoints.includes('builtin'), 'the builtin endpoint is not declared'],
        [!coldplugNic, 'coldplugNic is not declared'],
      ),
    );

    check(
      'launch() with a kernel that does not exist rejects and leaves nothing',
      async ({ driver, spec, options }) => {
        const missing = spec({ kernelPath: '/no/such/kernel' });
        await expectCode(
          driver.launch(missing, options()),
          'VM_HYPERVISOR_FAILED',
          'VM_SPEC_INVALID',
          'IMAGE_NOT_FOUND',
        );
      },
      !readsKernel && 'the driver does not read the kernel',
    );

    check(
      'launch() in a network namespace rejects with NOT_SUPPORTED where netns is not declared',
      async ({ driver, spec, options }) => {
        await expectCode(driver.launch(spec({ netnsPath: '/proc/self/ns/net' }), options()), 'NOT_SUPPORTED');
      },
      netns && 'it is declared',
    );

    check(
      'launch() of a detached VM rejects with NOT_SUPPORTED where adopt is not declared',
      async ({ driver, spec, options }) => {
        await expectCode(driver.launch(spec({ detached: true }), options()), 'NOT_SUPPORTED');
      },
      adopt && 'it is declared',
    );

    check(
      'launch() that fails on its way leaves nothing, and a retry works',
      async ({ driver, spec, options, launch }) => {
        await inject.launch?.(driver, spec());
        const outcome = await outcomeOf(driver.launch(spec(), options()));
        assert.ok('error' in outcome, 'launch() resolved though it was made to fail');
        assert.equal((await launch()).state, 'running');
      },
      !inject.launch && 'the factory offers no inject.launch',
    );
  });
}

async function refused({ driver, spec, options }: HypervisorContext, parts: Partial<VmSpec>, field: string) {
  assertNamesField(await expectCode(driver.launch(spec(parts), options()), 'VM_SPEC_INVALID'), field);
}

/** The VM is not only there: its channels open. */
export async function stillAnswers(
  { options, spec }: HypervisorContext,
  vm: Awaited<ReturnType<HypervisorContext['launch']>>,
): Promise<void> {
  const [name] = spec().channels;
  if (name !== undefined) (await vm.openChannel(name, options())).destroy();
}
