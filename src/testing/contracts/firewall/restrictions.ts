import assert from 'node:assert/strict';
import type { Firewall, Restriction } from '../../../core/firewall.js';
import type { AllowList } from '../../../core/network.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { FirewallContext, FirewallSuite } from './context.js';
import type { FirewallContract } from './types.js';

type Restricting = Firewall & Required<Pick<Firewall, 'restrict' | 'unrestrict' | 'restricted'>>;

/** Of a firewall that declares `restricts`: whom a NIC lets in. That packets do as the rules say is shown with packets. */
export function restrictionContract({ describe, check }: FirewallSuite, contract: FirewallContract): void {
  const { capabilities, inject = {}, tamper } = contract;
  const unless = !capabilities.restricts && 'restricts is not declared';
  const six = !capabilities.families.includes(4);
  const [near, far] = six ? ['fd00:213:50::/64', 'fd00:213:51::/64'] : ['10.213.50.0/24', '10.213.51.0/24'];
  const allow = (internal: string[], external: string[] = []): AllowList => ({ internal, external });
  const of = ({ port }: FirewallContext, nic: string, hostPort: number, list = allow([near], [far])): Restriction => {
    const { network, guestAddress } = port(hostPort);
    return { id: `pod/${nic}`, network, guestAddress: guestAddress.replace(/2$/, String(hostPort)), allow: list };
  };
  const able = ({ firewall }: Pick<FirewallContext, 'firewall'>): Restricting => {
    assert.ok(
      firewall.restrict && firewall.unrestrict && firewall.restricted,
      'restricts is declared, and is not there',
    );
    return firewall as Restricting;
  };
  const sorted = (all: readonly Restriction[]) => [...all].sort((a, b) => (a.guestAddress < b.guestAddress ? -1 : 1));

  describe('restrictions', () => {
    check(
      'restricted() reads back what restrict() was given, also for a manager that starts anew',
      async (context) => {
        const { firewall, another, network, options } = context;
        await firewall.ensureNetwork(network, options());
        const all = [
          of(context, 'a', 2),
          of(context, 'b', 3, allow([], [near, far])),
          of(context, 'c', 4, allow([far])),
        ];
        await able(context).restrict(all, options());
        assert.deepEqual(sorted(await able(context).restricted(options())), sorted(all));
        assert.deepEqual(sorted(await able({ firewall: await another() }).restricted(options())), sorted(all));
        assert.deepEqual([...(await firewall.check(options()))], []);
      },
      unless,
    );

    check(
      'restrict() again changes nothing; with other lists it leaves only these',
      async (context) => {
        const { firewall, network, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        await able(context).restrict([of(context, 'a', 2), of(context, 'b', 3)], options());
        const made = await rules();
        await able(context).restrict([of(context, 'a', 2)], options());
        await firewall.ensureNetwork(network, options());
        assert.deepEqual(await rules(), made);
        const changed = of(context, 'a', 2, allow([far]));
        await able(context).restrict([changed], options());
        assert.deepEqual(sorted(await able(context).restricted(options())), [changed, of(context, 'b', 3)]);
      },
      unless,
    );

    check(
      'unrestrict() removes exactly those named, and is idempotent; ports are not its affair',
      async (context) => {
        const { firewall, network, port, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        if (capabilities.protocols.length > 0) await firewall.publish([port(20_000)], options());
        const before = await rules();
        await able(context).restrict([of(context, 'a', 2), of(context, 'b', 3)], options());
        await able(context).unrestrict(['pod/a', 'pod/none'], options());
        assert.deepEqual(await able(context).restricted(options()), [of(context, 'b', 3)]);
        await able(context).unrestrict(['pod/a', 'pod/b'], options());
        await able(context).unrestrict(['pod/a', 'pod/b'], options());
        assert.deepEqual(await rules(), before);
      },
      unless,
    );

    check(
      'removeNetwork() removes its restrictions',
      async (context) => {
        const { firewall, network, other, options } = context;
        await firewall.ensureNetwork(network, options());
        await firewall.ensureNetwork(other, options());
        await able(context).restrict([of(context, 'a', 2)], options());
        await firewall.removeNetwork(network.name, options());
        assert.deepEqual([...(await able(context).restricted(options()))], []);
        await firewall.ensureNetwork(network, options());
        assert.deepEqual([...(await able(context).restricted(options()))], []);
      },
      unless,
    );

    check(
      'restrict() with one that cannot be made, or a signal that has fired, changes nothing',
      async (context) => {
        const { firewall, network, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        const unknown = { ...of(context, 'b', 3), network: 'no-such-network' };
        const both = [of(context, 'a', 2), unknown];
        await expectCode(able(context).restrict(both, options()), 'FIREWALL_FAILED', 'NET_NOT_FOUND');
        await expectCode(able(context).restrict([of(context, 'a', 2)], abortedCall()), 'ABORTED');
        assert.deepEqual(await rules(), before);
      },
      unless,
    );

    check(
      'restrict() that the kernel refuses rejects with FIREWALL_FAILED and changes nothing',
      async (context) => {
        const { firewall, network, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        await inject.refuse?.(firewall);
        await expectCode(able(context).restrict([of(context, 'a', 2)], options()), 'FIREWALL_FAILED');
        assert.deepEqual(await rules(), before);
        await able(context).restrict([of(context, 'a', 2)], options());
        assert.deepEqual(await able(context).restricted(options()), [of(context, 'a', 2)]);
      },
      unless || (!inject.refuse && 'the factory offers no inject.refuse'),
    );

    check(
      'flushed by another program they are found missing and repaired, also by a manager that was told of them',
      async (context) => {
        const { firewall, another, network, options, rules } = context;
        await firewall.ensureNetwork(network, options());
        await able(context).restrict([of(context, 'a', 2), of(context, 'b', 3)], options());
        const whole = await rules();
        const second = await another();
        second.configure?.([network], [], [of(context, 'a', 2), of(context, 'b', 3)]);
        for (const each of second.configure ? [firewall, second] : [firewall]) {
          await tamper?.flush();
          const drift = await each.check(options());
          assert.ok(drift.length > 0 && drift.every(({ kind }) => kind === 'missing'), 'check() finds nothing missing');
          await each.repair(options());
          assert.deepEqual(await rules(), whole);
        }
      },
      unless || (!tamper && 'the factory offers no tamper'),
    );
  });
}
