import assert from 'node:assert/strict';
import type { PublishedPort } from '../../../core/firewall.js';
import type { TransportProtocol } from '../../../core/network.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { FirewallSuite } from './context.js';
import type { FirewallContract } from './types.js';

const PROTOCOLS: readonly TransportProtocol[] = ['tcp', 'udp', 'sctp'];

export function portContract({ describe, check }: FirewallSuite, contract: FirewallContract): void {
  const { capabilities, translate, inject = {} } = contract;
  const notDeclared = PROTOCOLS.find((protocol) => !capabilities.protocols.includes(protocol));
  const cannotPublish = capabilities.protocols.length === 0 && 'no protocol is declared';
  const cannotTranslate = cannotPublish || (!translate && 'the factory offers no translate');
  const sorted = (ports: readonly PublishedPort[]) => [...ports].sort((a, b) => (a.id < b.id ? -1 : 1));

  describe('published ports', () => {
    check(
      'published() reads back what publish() was given, in every declared protocol',
      async ({ firewall, network, port, options }) => {
        await firewall.ensureNetwork(network, options());
        const ports = capabilities.protocols.map((protocol, at) => port(20_000 + at, { protocol }));
        ports.push(port(21_000, { guestPort: 8080, count: 5 }));
        if (capabilities.publishToAny) ports.push(port(22_000, { guestPort: 8080, guestCount: 4 }));
        await firewall.publish(ports, options());
        assert.deepEqual(sorted(await firewall.published(options())), sorted(ports));
        assert.deepEqual([...(await firewall.check(options()))], []);
      },
      cannotPublish,
    );

    check(
      'published() is read from the rules: a manager that starts anew knows the ports',
      async ({ firewall, another, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        await firewall.publish([port(20_000)], options());
        const made = await rules();
        const second = await another();
        assert.deepEqual(sorted(await second.published(options())), [port(20_000)]);
        await second.ensureNetwork(network, options());
        await second.publish([port(20_000)], options());
        assert.deepEqual(await rules(), made);
        await second.unpublish([port(20_000).id], options());
        assert.deepEqual([...(await second.published(options()))], []);
      },
      cannotPublish,
    );

    check(
      'publish() of what is published changes nothing',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        await firewall.publish([port(20_000)], options());
        const made = await rules();
        await firewall.publish([port(20_000)], options());
        await firewall.ensureNetwork(network, options());
        assert.deepEqual(await rules(), made);
      },
      cannotPublish,
    );

    check(
      'publish() that the kernel refuses rejects with FIREWALL_FAILED and publishes none of them',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        await inject.refuse?.(firewall);
        await expectCode(firewall.publish([port(20_000), port(20_001)], options()), 'FIREWALL_FAILED');
        assert.deepEqual(await rules(), before);
        assert.deepEqual([...(await firewall.published(options()))], []);
        await firewall.publish([port(20_000), port(20_001)], options());
        assert.equal((await firewall.published(options())).length, 2);
      },
      cannotPublish || (!inject.refuse && 'the factory offers no inject.refuse'),
    );

    check(
      'publish() with one port that cannot be published publishes none of them',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        const unknown = { ...port(20_001), network: 'no-such-network' };
        await expectCode(firewall.publish([port(20_000), unknown], options()), 'FIREWALL_FAILED', 'NET_NOT_FOUND');
        assert.deepEqual(await rules(), before);
      },
      cannotPublish,
    );

    check(
      'publish() in a protocol that is not declared rejects with NOT_SUPPORTED and publishes none of them',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        const ports = [port(20_000), port(20_001, { protocol: notDeclared as TransportProtocol })];
        await expectCode(firewall.publish(ports, options()), 'NOT_SUPPORTED');
        assert.deepEqual(await rules(), before);
      },
      cannotPublish || (!notDeclared && 'every protocol is declared'),
    );

    check(
      'publish() with a signal that has fired rejects with its reason and publishes nothing',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        await expectCode(firewall.publish([port(20_000)], abortedCall()), 'ABORTED');
        assert.deepEqual(await rules(), before);
      },
      cannotPublish,
    );

    check(
      'unpublish() removes exactly the ports named, and is idempotent',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        await firewall.publish([port(20_000), port(20_001)], options());
        await firewall.unpublish([port(20_000).id, 'pod/nic/tcp/0.0.0.0/9'], options());
        assert.deepEqual(sorted(await firewall.published(options())), [port(20_001)]);
        await firewall.unpublish([port(20_000).id, port(20_001).id], options());
        await firewall.unpublish([port(20_000).id, port(20_001).id], options());
        assert.deepEqual(await rules(), before);
      },
      cannotPublish,
    );

    check(
      'removeNetwork() removes its ports, and none of another network',
      async ({ firewall, network, other, port, options }) => {
        await firewall.ensureNetwork(network, options());
        await firewall.ensureNetwork(other, options());
        const kept = port(20_001, {}, other);
        await firewall.publish([port(20_000), kept], options());
        await firewall.removeNetwork(network.name, options());
        assert.deepEqual(sorted(await firewall.published(options())), [kept]);
      },
      cannotPublish,
    );

    check(
      'a mapping goes where it says, and not after it was unpublished',
      async ({ firewall, network, port, options }) => {
        await firewall.ensureNetwork(network, options());
        const one = port(20_000, { guestPort: 8080 });
        const { protocol, hostAddress } = one.mapping;
        const host = hostAddress === '::' ? 'fd00:213:99::1' : '192.0.2.1';
        assert.equal(await translate?.(protocol, host, 20_000), undefined);
        await firewall.publish([one], options());
        assert.deepEqual(await translate?.(protocol, host, 20_000), { address: one.guestAddress, port: 8080 });
        assert.equal(await translate?.(protocol, host, 20_001), undefined);
        await firewall.unpublish([one.id], options());
        assert.equal(await translate?.(protocol, host, 20_000), undefined);
      },
      cannotTranslate,
    );

    check(
      'a range maps port p to exactly p + d: first, last, and neither neighbour',
      async ({ firewall, network, port, options }) => {
        await firewall.ensureNetwork(network, options());
        const range = port(20_000, { guestPort: 8080, count: 5 });
        const { protocol, hostAddress } = range.mapping;
        const host = hostAddress === '::' ? 'fd00:213:99::1' : '192.0.2.1';
        await firewall.publish([range], options());
        for (let at = 0; at < 5; at++) {
          const expected = { address: range.guestAddress, port: 8080 + at };
          assert.deepEqual(await translate?.(protocol, host, 20_000 + at), expected);
        }
        assert.equal(await translate?.(protocol, host, 19_999), undefined);
        assert.equal(await translate?.(protocol, host, 20_005), undefined);
      },
      cannotTranslate,
    );

    check(
      'one port that leads to several leads to them all, each time to one of them',
      async ({ firewall, network, port, options }) => {
        await firewall.ensureNetwork(network, options());
        const toAny = port(20_000, { guestPort: 8080, guestCount: 4 });
        const { protocol, hostAddress } = toAny.mapping;
        const host = hostAddress === '::' ? 'fd00:213:99::1' : '192.0.2.1';
        await firewall.publish([toAny], options());
        const met = new Set<number>();
        // That one of four is not among so many, where each is as likely, happens once in ten million times.
        for (let tries = 0; tries < 60 && met.size < 4; tries++) {
          const found = await translate?.(protocol, host, 20_000);
          assert.equal(found?.address, toAny.guestAddress);
          met.add(found.port);
        }
        assert.deepEqual([...met].sort(), [8080, 8081, 8082, 8083]);
        assert.equal(await translate?.(protocol, host, 20_001), undefined);
      },
      cannotTranslate || (!capabilities.publishToAny && 'publishToAny is not declared'),
    );

    check(
      'publish() of one port that leads to several rejects with NOT_SUPPORTED where publishToAny is not declared',
      async ({ firewall, network, port, options, rules }) => {
        await firewall.ensureNetwork(network, options());
        const before = await rules();
        const ports = [port(20_000), port(20_001, { guestCount: 4 })];
        await expectCode(firewall.publish(ports, options()), 'NOT_SUPPORTED');
        assert.deepEqual(await rules(), before);
      },
      cannotPublish || (capabilities.publishToAny === true && 'it is declared'),
    );

    check(
      'a mapping of one host address is not one of another',
      async ({ firewall, network, port, options }) => {
        await firewall.ensureNetwork(network, options());
        const six = !capabilities.families.includes(4);
        const [mine, another] = six ? ['fd00:213:99::1', 'fd00:213:99::2'] : ['192.0.2.1', '192.0.2.2'];
        const one = port(20_000, { hostAddress: mine });
        await firewall.publish([one], options());
        assert.ok(await translate?.(one.mapping.protocol, mine, 20_000));
        assert.equal(await translate?.(one.mapping.protocol, another, 20_000), undefined);
      },
      cannotTranslate,
    );
  });
}
