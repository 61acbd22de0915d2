import assert from 'node:assert/strict';
import { expectCode } from '../../runner.js';
import type { HyperplugSuite } from './context.js';
import type { HyperplugContract } from './types.js';

/** The network of pods, and the networks. */
export function podNetworkContract({ describe, check }: HyperplugSuite, contract: HyperplugContract): void {
  const { networks, lacks = {} } = contract;
  const [network] = networks;

  describe('NICs', () => {
    const none = lacks.hotplugNic && 'no NIC can be added here';
    check(
      'come and go, and every holder sees them when it asks',
      async ({ pod, another, hyperplug }) => {
        const made = await pod({ id: 'web', keep: true, nicSlots: 2 });
        const nic = await made.nics.add({ id: 'second', network });
        assert.equal(nic.id, 'second');
        assert.deepEqual(
          made.nics.list().map(({ id }) => id),
          ['eth-default', 'second'],
        );
        await expectCode(made.nics.add({ id: 'second' }), 'VM_NIC_EXISTS', 'POD_SPEC_INVALID');
        await expectCode(made.nics.add({ ip: 'nonsense' }), 'POD_SPEC_INVALID');
        const [listed] = await (await another()).listPods();
        assert.deepEqual(
          listed?.nics.map(({ id }) => id),
          ['eth-default', 'second'],
        );
        await made.nics.remove('second');
        await expectCode(made.nics.remove('second'), 'VM_NIC_NOT_FOUND');
        assert.deepEqual(
          made.nics.list().map(({ id }) => id),
          ['eth-default'],
        );
        assert.equal((await hyperplug.pods.inspect('web')).nics.length, 1);
      },
      none,
    );

    check(
      'are changed, all or nothing',
      async ({ pod }) => {
        const { nics } = await pod();
        const changed = await nics.update('eth-default', { addAddresses: ['10.123.4.5/24'], mtu: 1300 });
        assert.equal(changed.mtu, 1300);
        assert.ok(changed.addresses.some(({ address }) => address === '10.123.4.5'));
        const error = await expectCode(nics.update('eth-default', { mtu: 12 }), 'POD_SPEC_INVALID');
        assert.match(error.message, /mtu/);
        assert.equal(nics.get('eth-default')?.mtu, 1300);
        assert.equal((await nics.read())[0]?.mtu, 1300);
      },
      none,
    );
  });

  describe('routes', () => {
    check('come and go', async ({ pod }) => {
      const { routes, nics } = await pod();
      const gateway = nics.list()[0]?.lease?.gateways.find((text) => !text.includes(':')) as string;
      const route = { destination: '10.99.0.0/16', gateway };
      await routes.add(route);
      assert.ok((await routes.list()).some(({ destination }) => destination === route.destination));
      await routes.remove(route);
      await routes.remove(route);
      assert.ok(!(await routes.list()).some(({ destination }) => destination === route.destination));
      // By its destination alone: whatever it leads to.
      await routes.add(route);
      await routes.remove({ destination: route.destination });
      await routes.remove({ destination: route.destination });
      assert.ok(!(await routes.list()).some(({ destination }) => destination === route.destination));
      await expectCode(routes.add({ destination: route.destination }), 'POD_SPEC_INVALID');
      await expectCode(routes.add({ destination: 'nonsense' }), 'POD_SPEC_INVALID');
    });
  });

  describe('ports', () => {
    check(
      'are published and withdrawn; one that another pod has is refused',
      async ({ pod }) => {
        const { ports } = await pod({ id: 'a' });
        const other = await pod({ id: 'b' });
        const mapping = { hostAddress: '127.0.0.1', hostPort: 45_231, containerPort: 80 };
        const published = await ports.add(mapping);
        assert.deepEqual(
          published.map(({ hostPort, guestPort }) => [hostPort, guestPort]),
          [[45_231, 80]],
        );
        assert.equal(ports.list().length, 1);
        await expectCode(other.ports.add(mapping), 'NET_PORT_IN_USE');
        assert.equal((await ports.remove({ hostPort: 45_231 })).length, 1);
        assert.deepEqual(await ports.remove({ hostPort: 45_231 }), []);
        assert.deepEqual(ports.list(), []);
        const range = { hostAddress: '127.0.0.1', hostPort: '45232-45233', containerPort: '80-81' };
        await ports.add(range);
        await expectCode(ports.remove({ hostPort: 45_233 }), 'POD_SPEC_INVALID');
        assert.equal((await ports.remove({ hostPort: '45232-45233' })).length, 1);
        await expectCode(ports.add({ hostPort: 0, containerPort: 80 }), 'POD_SPEC_INVALID');
      },
      lacks.publish && 'no port can be published here',
    );
  });
}

export function networksContract(
  { describe, check }: HyperplugSuite,
  { networks, lacks = {} }: HyperplugContract,
): void {
  describe('networks', () => {
    check('all of them are told, or those that are named', async ({ hyperplug }) => {
      const all = await hyperplug.networks.status();
      assert.deepEqual(
        all.map(({ name }) => name),
        [...networks],
      );
      const [first] = await hyperplug.networks.status([networks[0]]);
      assert.equal(first?.name, networks[0]);
      const error = await expectCode(hyperplug.networks.status(['nowhere']), 'NET_NOT_FOUND');
      assert.deepEqual(error.details.expected, [...networks]);
      for (const act of ['init', 'repair', 'teardown'] as const) {
        await expectCode(hyperplug.networks[act](['nowhere']), 'NET_NOT_FOUND');
      }
    });

    check('init() and repair() are idempotent', async ({ hyperplug }) => {
      for (let turn = 0; turn < 2; turn++) {
        const made = await hyperplug.networks.init();
        assert.ok(made.every(({ state }) => state === 'ready'));
      }
      const mended = await hyperplug.networks.repair();
      assert.deepEqual(
        mended.map(({ name }) => name),
        [...networks],
      );
      assert.ok(mended.every(({ mended: what }) => what.length === 0));
    });

    check(
      'a pod makes those that it is on, and a NIC that is added its own',
      async ({ hyperplug, pod }) => {
        const made = async () =>
          (await hyperplug.networks.status()).filter(({ state }) => state !== 'absent').map(({ name }) => name);
        await hyperplug.networks.teardown();
        assert.deepEqual(await made(), []);
        const running = await pod({ interfaces: [{ network: networks[1] }] });
        assert.deepEqual(await made(), [networks[1]]);
        if (!lacks.hotplugNic) {
          await running.nics.add({ network: networks[0] });
          assert.deepEqual(await made(), [networks[0], networks[1]]);
        }
        await running.remove();
      },
      (lacks.networkTeardown && 'there is nothing to tear down here') ||
        (networks.length < 2 && 'there is one network alone'),
    );

    check(
      'one that is in use is not torn down, but by force',
      async ({ hyperplug, pod }) => {
        const made = await pod({ id: 'web' });
        const error = await expectCode(hyperplug.networks.teardown([networks[0]]), 'NET_IN_USE');
        assert.deepEqual(error.details.pods, ['web']);
        const [status] = await hyperplug.networks.status([networks[0]]);
        assert.deepEqual(status?.pods, ['web']);
        await made.remove();
        assert.deepEqual(await hyperplug.networks.teardown([networks[0]]), [networks[0]]);
        await hyperplug.networks.init();
      },
      lacks.networkTeardown && 'there is nothing to tear down here',
    );
  });
}
