import assert from 'node:assert/strict';
import type { FirewallDrift } from '../../../core/firewall.js';
import type { FirewallContext, FirewallSuite } from './context.js';
import type { FirewallContract, FirewallTampering } from './types.js';

export function driftContract({ describe, check }: FirewallSuite, contract: FirewallContract): void {
  const unless = !contract.tamper && 'the factory offers no tamper';
  const tamper = contract.tamper as FirewallTampering;
  const publishes = contract.capabilities.protocols.length > 0;

  const ready = async ({ firewall, network, other, port, options, rules }: FirewallContext) => {
    await firewall.ensureNetwork(network, options());
    await firewall.ensureNetwork(other, options());
    if (publishes) await firewall.publish([port(20_000)], options());
    return rules();
  };

  const repaired = async (context: FirewallContext, whole: readonly string[]) => {
    const { firewall, options, rules } = context;
    await firewall.repair(options());
    assert.deepEqual(await rules(), whole, 'repair() did not bring back what was there, in order');
    assert.deepEqual([...(await firewall.check(options()))], []);
  };

  const found = async ({ firewall, options }: FirewallContext, kind: FirewallDrift['kind']) => {
    const drift = await firewall.check(options());
    assert.ok(drift.length > 0, 'check() finds nothing');
    assert.ok(
      drift.every((each) => each.kind === kind),
      `check() finds ${drift.map((each) => each.kind).join(', ')}, expected ${kind}`,
    );
    assert.ok(drift.every((each) => each.rule.length > 0 && each.network.length > 0));
  };

  describe('drift', () => {
    check('repair() without drift changes nothing', async (context) => repaired(context, await ready(context)));

    check(
      'a rule that was removed is found missing, and repaired in its place',
      async (context) => {
        const whole = await ready(context);
        await tamper.removeOne();
        await found(context, 'missing');
        await repaired(context, whole);
      },
      unless,
    );

    check(
      'a rule that is there twice is found duplicate, and repaired',
      async (context) => {
        const whole = await ready(context);
        await tamper.duplicateOne();
        await found(context, 'duplicate');
        await repaired(context, whole);
      },
      unless,
    );

    check(
      'a rule with our mark that belongs to nothing known is found foreign, and removed',
      async (context) => {
        const whole = await ready(context);
        await tamper.addForeign();
        await found(context, 'foreign');
        await repaired(context, whole);
      },
      unless,
    );

    check(
      'all rules flushed by another program are found missing, ports too, and repaired',
      async (context) => {
        const whole = await ready(context);
        await tamper.flush();
        await found(context, 'missing');
        await repaired(context, whole);
        const ports = await context.firewall.published(context.options());
        assert.equal(ports.length, publishes ? 1 : 0);
      },
      unless,
    );

    check(
      'a manager that made none of it is told by configure(), finds nothing, and after a flush finds and repairs all',
      async (context) => {
        const { network, other, port, another, options, rules } = context;
        const whole = await ready(context);
        const second = await another();
        if (!second.configure) return;
        second.configure([network, other], publishes ? [port(20_000)] : []);
        assert.deepEqual(await rules(), whole, 'configure() changed rules');
        assert.deepEqual([...(await second.check(options()))], []);
        await tamper.flush();
        await found({ ...context, firewall: second }, 'missing');
        await repaired({ ...context, firewall: second }, whole);
        assert.equal((await second.published(options())).length, publishes ? 1 : 0);
      },
      unless,
    );

    check(
      'ensureNetwork() after a flush brings the rules of the network back',
      async (context) => {
        const { firewall, network, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        const whole = await rules();
        await tamper.flush();
        await firewall.ensureNetwork(network, options());
        assert.deepEqual(await rules(), whole);
      },
      unless,
    );
  });
}
