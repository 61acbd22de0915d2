import assert from 'node:assert/strict';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen } from '../../kit/assertions.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { FirewallSuite } from './context.js';
import type { FirewallContract } from './types.js';

export function ruleContract({ describe, check }: FirewallSuite, contract: FirewallContract): void {
  const { capabilities, tamper, inject = {} } = contract;
  const cannotRefuse = !inject.refuse && 'the factory offers no inject.refuse';

  describe('rules of a network', () => {
    check('capabilities are complete, frozen throughout, and what the plugin declared', async ({ firewall }) => {
      CAPABILITY_SCHEMAS.firewall.parse(firewall.capabilities);
      assertDeepFrozen(firewall.capabilities, 'capabilities');
      assert.deepEqual(firewall.capabilities, capabilities);
    });

    check('before anything is there: nothing published, no drift, removals resolve', async (context) => {
      const { firewall, network, options, rules } = context;
      const before = await rules();
      assert.deepEqual([...(await firewall.published(options()))], []);
      assert.deepEqual([...(await firewall.check(options()))], []);
      await firewall.unpublish(['pod/nic/tcp/0.0.0.0/1'], options());
      await firewall.removeNetwork(network.name, options());
      await firewall.repair(options());
      assert.deepEqual(await rules(), before);
    });

    check('ensureNetwork() makes rules, and any number of times the same ones', async (context) => {
      const { firewall, network, options, rules } = context;
      const before = await rules();
      await firewall.ensureNetwork(network, options());
      const made = await rules();
      assert.ok(made.length > before.length, 'no rule was made');
      await firewall.ensureNetwork(network, options());
      await Promise.all([firewall.ensureNetwork(network, options()), firewall.ensureNetwork(network, options())]);
      assert.deepEqual(await rules(), made);
    });

    check('a manager that starts anew finds the rules and adds none', async (context) => {
      const { firewall, another, network, options, rules } = context;
      await firewall.ensureNetwork(network, options());
      const made = await rules();
      const second = await another();
      await second.ensureNetwork(network, options());
      assert.deepEqual(await rules(), made);
      assert.deepEqual([...(await second.check(options()))], []);
    });

    check('the order of the rules is the same each time', async (context) => {
      const { firewall, network, other, options, rules } = context;
      await firewall.ensureNetwork(network, options());
      await firewall.ensureNetwork(other, options());
      const made = await rules();
      await firewall.removeNetwork(network.name, options());
      await firewall.removeNetwork(other.name, options());
      await firewall.ensureNetwork(network, options());
      await firewall.ensureNetwork(other, options());
      assert.deepEqual(await rules(), made);
    });

    check('a network that changed has its new rules, and none of the old', async (context) => {
      const { firewall, network, other, options, rules } = context;
      const changed = { ...network, subnets: other.subnets };
      await firewall.ensureNetwork(changed, options());
      const fresh = await rules();
      await firewall.removeNetwork(network.name, options());
      await firewall.ensureNetwork(network, options());
      assert.notDeepEqual(await rules(), fresh, 'the rules do not depend on the subnets');
      await firewall.ensureNetwork(changed, options());
      assert.deepEqual(await rules(), fresh);
    });

    check('networks do not touch each other: removing one leaves the rules of the other', async (context) => {
      const { firewall, network, other, options, rules } = context;
      await firewall.ensureNetwork(other, options());
      const alone = await rules();
      await firewall.ensureNetwork(network, options());
      await firewall.removeNetwork(network.name, options());
      assert.deepEqual(await rules(), alone);
      assert.deepEqual([...(await firewall.check(options()))], []);
    });

    check('removeNetwork() removes every rule, and is idempotent', async (context) => {
      const { firewall, network, options, rules } = context;
      const before = await rules();
      await firewall.ensureNetwork(network, options());
      await firewall.removeNetwork(network.name, options());
      assert.deepEqual(await rules(), before);
      await firewall.removeNetwork(network.name, options());
      await firewall.removeNetwork('no-such-network', options());
      assert.deepEqual(await rules(), before);
    });

    check(
      "other people's rules stay where they are, whatever is done",
      async (context) => {
        const { firewall, network, port, options, rules, defer } = context;
        const before = await rules();
        const remove = await tamper?.addOthers();
        defer(() => remove?.());
        const theirs = (await rules()).filter((rule) => !before.includes(rule));
        assert.ok(theirs.length > 0, 'tamper.addOthers() added nothing that rules() shows');
        const count = async () => (await rules()).filter((rule) => theirs.includes(rule)).length;
        await firewall.ensureNetwork(network, options());
        assert.equal(await count(), theirs.length, 'after ensureNetwork()');
        await firewall.publish([port(20_000)], options());
        assert.deepEqual([...(await firewall.check(options()))], [], 'check() takes them for ours');
        await firewall.repair(options());
        assert.equal(await count(), theirs.length, 'after repair()');
        await firewall.unpublish([port(20_000).id], options());
        await firewall.removeNetwork(network.name, options());
        assert.equal(await count(), theirs.length, 'after removeNetwork()');
      },
      !tamper && 'the factory offers no tamper',
    );

    check(
      'ensureNetwork() with a signal that has fired rejects with its reason and changes nothing',
      async (context) => {
        const { firewall, network, rules } = context;
        const before = await rules();
        await expectCode(firewall.ensureNetwork(network, abortedCall()), 'ABORTED');
        assert.deepEqual(await rules(), before);
      },
    );

    check(
      'ensureNetwork() that the kernel refuses rejects with FIREWALL_FAILED, changes nothing, and a retry works',
      async (context) => {
        const { firewall, network, other, options, rules } = context;
        await firewall.ensureNetwork(other, options());
        const before = await rules();
        await inject.refuse?.(firewall);
        await expectCode(firewall.ensureNetwork(network, options()), 'FIREWALL_FAILED');
        assert.deepEqual(await rules(), before);
        assert.deepEqual([...(await firewall.check(options()))], [], 'it believes that the rules are there');
        await firewall.ensureNetwork(network, options());
        assert.deepEqual([...(await firewall.check(options()))], []);
      },
      cannotRefuse,
    );

    check(
      'an isolated network is refused with NOT_SUPPORTED where isolation is not declared',
      async ({ firewall, network, options, rules }) => {
        const before = await rules();
        await expectCode(firewall.ensureNetwork({ ...network, isolated: true }, options()), 'NOT_SUPPORTED');
        assert.deepEqual(await rules(), before);
      },
      capabilities.isolation && 'it is declared',
    );

    check(
      'isolation makes a difference, and can be taken back',
      async ({ firewall, network, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const open = await rules();
        await firewall.ensureNetwork({ ...network, isolated: true }, options());
        assert.notDeepEqual(await rules(), open);
        await firewall.ensureNetwork(network, options());
        assert.deepEqual(await rules(), open);
      },
      !capabilities.isolation && 'isolation is not declared',
    );
  });
}
