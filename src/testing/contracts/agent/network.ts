import assert from 'node:assert/strict';
import type { GuestNetwork, GuestNicConfig } from '../../../core/agent.js';
import { expectCode } from '../../runner.js';
import type { AgentContext, AgentSuite } from './context.js';
import type { AgentContract } from './types.js';

const ABSENT_MAC = '02:fe:ed:00:00:01';

export function networkContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const { features, nicCount = 0 } = contract;
  const none = nicCount < 1 && 'the peer has no NIC (nicCount)';
  const noReadBack = none || (!features.readNetwork && 'the session has no readNetwork');

  const nicOf = async ({ peer }: AgentContext, at = 0) => {
    const nic = (await peer()).nics?.[at];
    assert.ok(nic, `nicCount is ${nicCount}, but the peer has no NIC ${at}`);
    return nic;
  };
  const config = (nic: { mac: string; expectedName: string }, parts: Partial<GuestNicConfig>): GuestNicConfig => ({
    mac: nic.mac,
    expectedName: nic.expectedName,
    addAddresses: [],
    removeAddresses: [],
    ...parts,
  });
  const linkOf = ({ links }: GuestNetwork, mac: string) => links.find((link) => link.mac === mac);
  const v4 = { address: '10.213.5.2', prefixLength: 24 };
  const more = { address: '10.213.5.3', prefixLength: 24 };
  const v6 = { address: 'fd00:213:5::2', prefixLength: 64 };

  describe('network', () => {
    check(
      'setupInterface() gives the NIC its address, name and MTU, up, and what it answers is what is there',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        const wanted = config(nic, { addAddresses: [v4], name: 'contract0', mtu: 1400 });
        const link = await session.setupInterface(wanted, context.options());
        assert.equal(link.mac, nic.mac);
        if (!features.readNetwork) return;
        const there = linkOf(await session.readNetwork(context.options()), nic.mac);
        assert.ok(there, 'readNetwork() does not show the NIC');
        for (const each of [link, there]) {
          assert.equal(each.name, 'contract0');
          assert.equal(each.mtu, 1400);
          assert.equal(each.up, true);
          assert.ok(
            each.addresses.some((own) => own.address === v4.address && own.prefixLength === 24),
            'its address',
          );
        }
      },
      none,
    );

    check(
      'addresses are added to those there are, and removed one by one',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v4] }), context.options());
        await session.setupInterface(config(nic, { addAddresses: [more] }), context.options());
        const own = async () => {
          const link = linkOf(await session.readNetwork(context.options()), nic.mac);
          return link?.addresses.map(({ address }) => address).filter((address) => address.startsWith('10.')) ?? [];
        };
        assert.deepEqual((await own()).sort(), [v4.address, more.address]);
        await session.setupInterface(config(nic, { removeAddresses: [more] }), context.options());
        assert.deepEqual(await own(), [v4.address]);
      },
      noReadBack,
    );

    check(
      'IPv6 addresses',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v6] }), context.options());
        const link = linkOf(await session.readNetwork(context.options()), nic.mac);
        const own = link?.addresses.find(({ address }) => address === v6.address);
        assert.equal(own?.prefixLength, 64);
      },
      noReadBack || (!features.ipv6 && 'the session has no ipv6'),
    );

    check(
      'NICs that are set up at once are not mixed up: each has its own address',
      async (context) => {
        const session = await context.connect();
        const [first, second] = [await nicOf(context, 0), await nicOf(context, 1)];
        await Promise.all([
          session.setupInterface(config(first, { addAddresses: [v4] }), context.options()),
          session.setupInterface(
            config(second, { addAddresses: [{ address: '10.213.6.2', prefixLength: 24 }] }),
            context.options(),
          ),
        ]);
        const network = await session.readNetwork(context.options());
        const own = (mac: string) =>
          linkOf(network, mac)
            ?.addresses.map(({ address }) => address)
            .filter((address) => address.startsWith('10.'));
        assert.deepEqual([own(first.mac), own(second.mac)], [[v4.address], ['10.213.6.2']]);
      },
      noReadBack || (nicCount < 2 && 'the peer has but one NIC (nicCount)'),
    );

    check(
      'setupInterface() of a NIC that does not appear is refused, and the session goes on',
      async (context) => {
        const session = await context.connect();
        const absent = config({ mac: ABSENT_MAC, expectedName: 'contract9' }, { addAddresses: [v4] });
        const refused = expectCode(session.setupInterface(absent, context.options()), 'AGENT_REFUSED', 'TIMEOUT');
        // Answered before or after, but not in its place.
        await Promise.all([refused, session.ping(context.options())]);
        await session.ping(context.options());
      },
      none,
    );

    check(
      'what the kernel of the guest refuses is AGENT_REFUSED with its reason',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v4] }), context.options());
        const unreachable = [{ destination: 'default', gateway: '192.0.2.1', mac: nic.mac }];
        const refused = [
          session.addRoutes(unreachable, context.options()),
          session.setupInterface(config(nic, { mtu: 1_000_000 }), context.options()),
          session.setupInterface(config(nic, { removeAddresses: [more] }), context.options()),
        ];
        for (const call of refused) call.catch(() => {});
        for (const call of refused) {
          const { details } = await expectCode(call, 'AGENT_REFUSED');
          assert.ok(typeof details.reason === 'string' && details.reason.length > 0, 'details.reason');
        }
      },
      none || (!features.errorTexts && 'the session has no errorTexts'),
    );

    check(
      'routes are added, read back, and removed',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v4] }), context.options());
        const route = { destination: '198.51.100.0/24', gateway: '10.213.5.1', mac: nic.mac };
        const there = async () => {
          const { routes } = await session.readNetwork(context.options());
          return routes.filter(
            ({ destination, gateway }) => destination === route.destination && gateway === route.gateway,
          );
        };
        await session.addRoutes([route], context.options());
        assert.equal((await there()).length, 1, 'the route is not there');
        await session.removeRoutes([route], context.options());
        assert.equal((await there()).length, 0, 'the route is still there');
      },
      noReadBack,
    );

    check(
      'addRoutes() adds all or none',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v4] }), context.options());
        const good = { destination: '198.51.100.0/24', gateway: '10.213.5.1', mac: nic.mac };
        const bad = { destination: '203.0.113.0/24', gateway: '192.0.2.1', mac: nic.mac };
        await expectCode(session.addRoutes([good, bad], context.options()), 'AGENT_REFUSED');
        const { routes } = await session.readNetwork(context.options());
        assert.ok(!routes.some(({ destination }) => destination === good.destination), 'one of them was added');
      },
      noReadBack,
    );

    check(
      'deleteInterface() takes the link down and forgets its addresses and routes',
      async (context) => {
        const session = await context.connect();
        const nic = await nicOf(context);
        await session.setupInterface(config(nic, { addAddresses: [v4] }), context.options());
        await session.addRoutes(
          [{ destination: '198.51.100.0/24', gateway: '10.213.5.1', mac: nic.mac }],
          context.options(),
        );
        await session.deleteInterface(nic, context.options());
        const { links, routes } = await session.readNetwork(context.options());
        const link = links.find(({ mac }) => mac === nic.mac);
        assert.notEqual(link?.up, true);
        assert.ok(!link?.addresses.some(({ address }) => address === v4.address), 'its address');
        assert.ok(!routes.some(({ destination }) => destination === '198.51.100.0/24'), 'its route');
      },
      noReadBack,
    );

    check(
      'readNetwork() rejects with NOT_SUPPORTED where the session does not have it',
      async ({ connect, options }) => {
        await expectCode((await connect()).readNetwork(options()), 'NOT_SUPPORTED');
      },
      features.readNetwork && 'it has',
    );
  });
}
