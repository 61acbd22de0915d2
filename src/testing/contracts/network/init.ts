import assert from 'node:assert/strict';
import type { NetworkSpec } from '../../../core/network.js';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen, assertNamesField, outcomeOf } from '../../kit/assertions.js';
import { inSubnet } from '../../kit/subnets.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { NetworkSuite } from './context.js';
import type { NetworkContract } from './types.js';

export function initContract({ describe, check }: NetworkSuite, contract: NetworkContract): void {
  const { capabilities, inject = {}, networks, tamper } = contract;
  const [network] = networks;
  const { families, isolation, multipleNetworks, mtu, hypervisorNetwork } = capabilities;

  describe('init', () => {
    check('capabilities are complete, frozen throughout, and what the plugin declared', async ({ backend }) => {
      CAPABILITY_SCHEMAS.network.parse(backend.capabilities);
      assertDeepFrozen(backend.capabilities, 'capabilities');
      assert.deepEqual(backend.capabilities, capabilities);
    });

    check('init() makes the networks, and status() shows each without drift', async ({ ready, options, subnets }) => {
      const backend = await ready();
      const status = await backend.status(options());
      assert.deepEqual(
        status.map(({ name }) => name).sort(),
        (multipleNetworks ? networks : [network]).map(({ name }) => name).sort(),
      );
      for (const { name, drift } of status) assert.deepEqual([...drift], [], `drift of ${name}`);
      const mine = status.find(({ name }) => name === network.name);
      assert.deepEqual([...(mine?.subnets ?? [])].sort(), subnets.map(({ text }) => text).sort());
      for (const gateway of mine?.gateways ?? []) {
        assert.ok(
          subnets.some((subnet) => inSubnet(gateway, subnet)),
          `gateway ${gateway} lies in no subnet`,
        );
      }
      assert.ok(mine && mine.mtu >= mtu.min && mine.mtu <= mtu.max, `mtu ${mine?.mtu}`);
    });

    check('init() is idempotent: twice, at once, and by another manager', async (context) => {
      const { ready, options, another } = context;
      const backend = await ready();
      const before = await backend.status(options());
      const specs = multipleNetworks ? networks : [network];
      await backend.init(specs, options());
      await Promise.all([backend.init(specs, options()), backend.init(specs, options())]);
      assert.deepEqual(await backend.status(options()), before);
      const second = await another();
      await second.init(specs, options());
      assert.deepEqual(await second.status(options()), before);
    });

    check(
      'init() of some makes those, and one that cannot be made is in nobody’s way unless it is asked for',
      async ({ backend, options, ready, request, defer }) => {
        const broken: NetworkSpec = { ...network, name: 'contract-broken', subnets: [] };
        const only = [network.name];
        await ready();
        for (const { name } of networks) await backend.teardown(name, options());
        await backend.init([...networks, broken], { ...options(), only });
        const lease = await backend.allocateAddress(request('n0'), options());
        defer(() => backend.releaseAddress(lease, options()));
        const made = (await backend.status(options())).filter(({ present }) => present !== false);
        const expected = hypervisorNetwork ? networks.map(({ name }) => name) : only;
        assert.deepEqual(made.map(({ name }) => name).sort(), [...expected].sort());
        const broke = backend.init([...networks, broken], { ...options(), only: [broken.name] });
        await expectCode(broke, 'NET_SPEC_INVALID');
        await backend.init(networks, options());
        const all = await backend.status(options());
        assert.deepEqual(
          all
            .filter(({ present }) => present !== false)
            .map(({ name }) => name)
            .sort(),
          networks.map(({ name }) => name).sort(),
        );
      },
      !multipleNetworks && 'multipleNetworks is not declared',
    );

    check('the MTU of the specification is that of status() and of every lease', async (context) => {
      const { backend, ready, options, request, defer } = context;
      const wanted = Math.min(mtu.max, Math.max(mtu.min, 1400));
      await ready();
      await backend.teardown(network.name, options());
      const others = multipleNetworks ? networks.slice(1) : [];
      await backend.init([{ ...network, mtu: wanted }, ...others], options());
      const mine = (await backend.status(options())).find(({ name }) => name === network.name);
      assert.equal(mine?.mtu, wanted, 'status()');
      const lease = await backend.allocateAddress(request('n0'), options());
      defer(() => backend.releaseAddress(lease, options()));
      assert.equal(lease.mtu, wanted, 'the lease');
    });

    check('configure() makes nothing; status() and teardown() know the networks then', async (context) => {
      const { backend, options, another, ready } = context;
      if (!backend.configure) return;
      const specs = multipleNetworks ? networks : [network];
      await backend.configure(specs, [], options());
      assert.deepEqual([...((await contract.host?.leftovers?.()) ?? [])], []);
      const names = (await backend.status(options())).map(({ name, present }) => ({ name, absent: present === false }));
      assert.deepEqual(
        names,
        specs.map(({ name }) => ({ name, absent: !hypervisorNetwork })),
      );
      await ready();
      const second = await another();
      await second.configure?.(specs, [], options());
      for (const { drift } of await second.status(options())) assert.deepEqual([...drift], []);
      for (const { name } of specs) await second.teardown(name, options());
      assert.deepEqual([...((await contract.host?.leftovers?.()) ?? [])], []);
    });

    const invalid: readonly [what: string, field: string, spec: Partial<NetworkSpec>, unless?: string | false][] = [
      ['no subnet', 'subnets', { subnets: [] }],
      ['text that is no subnet', 'subnets', { subnets: ['10.0.0.0'] }],
      ['a prefix that is too long', 'subnets', { subnets: [families.includes(4) ? '10.213.9.0/33' : 'fd00::/129'] }],
      [
        'two subnets of one family',
        'subnets',
        {
          subnets: families.includes(4) ? ['10.213.9.0/24', '10.213.10.0/24'] : ['fd00:213:9::/64', 'fd00:213:a::/64'],
        },
      ],
      ['an MTU below the least', 'mtu', { mtu: mtu.min - 1 }],
      ['an MTU above the greatest', 'mtu', { mtu: mtu.max + 1 }],
      ['a name server that is no address', 'dns', { dns: ['ns.example.org'] }],
      [
        "a bridge for the hypervisor's own network",
        'bridge',
        { bridge: 'hpc9' },
        !hypervisorNetwork && 'it has bridges',
      ],
    ];
    for (const [what, field, parts, unless] of invalid) {
      check(
        `init() with ${what} rejects with NET_SPEC_INVALID naming ${field}, makes nothing, and a valid one works`,
        async ({ backend, options, ready }) => {
          const error = await expectCode(backend.init([{ ...network, ...parts }], options()), 'NET_SPEC_INVALID');
          assertNamesField(error, field);
          assert.deepEqual([...((await contract.host?.leftovers?.()) ?? [])], [], 'something was made all the same');
          await ready();
        },
        unless,
      );
    }

    check(
      'init() with a family that is not declared is refused',
      async ({ backend, options }) => {
        const subnets = [families.includes(4) ? 'fd00:213:9::/64' : '10.213.9.0/24'];
        await expectCode(backend.init([{ ...network, subnets }], options()), 'NOT_SUPPORTED', 'NET_SPEC_INVALID');
      },
      families.length === 2 && 'both are declared',
    );

    check(
      'init() of an isolated network is refused with NOT_SUPPORTED where isolation is not declared',
      async ({ backend, options }) => {
        await expectCode(backend.init([{ ...network, isolated: true }], options()), 'NOT_SUPPORTED');
      },
      isolation && 'it is declared',
    );

    check(
      'init() of several networks is refused where multipleNetworks is not declared',
      async ({ backend, options }) => {
        const both = [network, { ...network, name: 'contract-other' }];
        await expectCode(backend.init(both, options()), 'NOT_SUPPORTED', 'NET_SPEC_INVALID');
      },
      multipleNetworks && 'it is declared',
    );

    check('init() with a signal that has fired rejects with its reason and makes nothing', async (context) => {
      const { backend, ready } = context;
      await expectCode(backend.init([network], abortedCall()), 'ABORTED');
      assert.deepEqual([...((await contract.host?.leftovers?.()) ?? [])], []);
      await ready();
    });

    check(
      'init() that fails on its way leaves nothing, and a retry works',
      async ({ backend, ready, options }) => {
        await inject.init?.(backend);
        const outcome = await outcomeOf(backend.init([network], options()));
        assert.ok('error' in outcome, 'init() resolved though it was made to fail');
        assert.deepEqual([...((await contract.host?.leftovers?.()) ?? [])], []);
        await ready();
      },
      !inject.init && 'the factory offers no inject.init',
    );

    check(
      'a network that was changed behind its back drifts, and init() brings it back',
      async ({ ready, options }) => {
        const backend = await ready();
        await tamper?.();
        const drifted = (await backend.status(options())).find(({ name }) => name === network.name);
        assert.ok(drifted && drifted.drift.length > 0, 'status() shows no drift');
        await backend.init(multipleNetworks ? networks : [network], options());
        const mended = (await backend.status(options())).find(({ name }) => name === network.name);
        assert.deepEqual([...(mended?.drift ?? ['gone'])], []);
      },
      !tamper && 'the factory offers no tamper',
    );
  });

  describe('teardown', () => {
    check('teardown() removes what init() made, is idempotent, and init() works again', async (context) => {
      const { ready, options } = context;
      const backend = await ready();
      await backend.teardown(network.name, options());
      await backend.teardown(network.name, options());
      await ready();
    });

    check('teardown() of a network that is not configured rejects with NET_NOT_FOUND', async ({ ready, options }) => {
      const backend = await ready();
      await expectCode(backend.teardown('no-such-network', options()), 'NET_NOT_FOUND');
    });
  });
}
