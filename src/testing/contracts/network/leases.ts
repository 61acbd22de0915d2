import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import type { AddressLease } from '../../../core/network.js';
import { jsonRoundTrip } from '../../kit/assertions.js';
import { formatAddress, inSubnet, type Subnet } from '../../kit/subnets.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { NetworkContext, NetworkSuite } from './context.js';
import type { NetworkContract } from './types.js';

const CONCURRENT = 20;

export function leaseContract({ describe, check }: NetworkSuite, contract: NetworkContract): void {
  const { capabilities, rounds = 300 } = contract;
  const { staticAddress, podToPod, mtu } = capabilities;
  const notStatic = !staticAddress && 'staticAddress is not declared';
  const notShared = !podToPod && 'podToPod is not declared: each NIC has addresses of its own';

  const textOf = (lease: AddressLease) => lease.addresses.map(({ address }) => address).join(' ');

  describe('leases', () => {
    check(
      'a lease has an address of each family, in its subnet, with its prefix, and not a special one',
      async (context) => {
        const { ready, lease, subnets, network } = context;
        await ready();
        const given = await lease('n0');
        assert.deepEqual([given.network, given.podId, given.nicId], [network.name, 'contract-n0', 'n0']);
        assert.equal(given.addresses.length, subnets.length);
        for (const subnet of subnets) {
          const own = given.addresses.find(({ address }) => inSubnet(address, subnet));
          assert.ok(own, `no address in ${subnet.text}`);
          assert.equal(own.prefixLength, subnet.prefixLength);
          assert.ok(!special(subnet).includes(own.address), `${own.address} is the network's or the broadcast address`);
          assert.ok(!given.gateways.includes(own.address), `${own.address} is the gateway's`);
        }
      },
    );

    check(
      'a lease has the gateway of each of its families, name servers that are addresses, and an MTU',
      async (context) => {
        const { ready, lease, subnets } = context;
        await ready();
        const given = await lease('n0');
        assert.equal(given.gateways.length, subnets.length);
        for (const subnet of subnets) {
          assert.ok(
            given.gateways.some((gateway) => inSubnet(gateway, subnet)),
            `no gateway in ${subnet.text}`,
          );
        }
        for (const server of given.dns) assert.notEqual(isIP(server), 0, `dns ${server}`);
        assert.ok(given.mtu >= mtu.min && given.mtu <= mtu.max, `mtu ${given.mtu}`);
        jsonRoundTrip(given, 'the lease');
      },
    );

    check('allocateAddress() in a network that is not configured rejects with NET_NOT_FOUND', async (context) => {
      const { backend, ready, request, options } = context;
      await expectCode(backend.allocateAddress(request('n0'), options()), 'NET_NOT_FOUND');
      await ready();
      const unknown = request('n0', [], 'no-such-network');
      await expectCode(backend.allocateAddress(unknown, options()), 'NET_NOT_FOUND');
    });

    check(
      'leases taken at once, by two managers, have addresses that differ',
      async (context) => {
        const { ready, another, request, options, defer } = context;
        const first = await ready();
        const second = await another();
        await second.init(capabilities.multipleNetworks ? contract.networks : [contract.networks[0]], options());
        // As many as a small network holds, at most.
        const count = Math.min(CONCURRENT, room(context));
        const leases = await Promise.all(
          Array.from({ length: count }, async (_, at) => {
            const backend = at % 2 === 0 ? first : second;
            const lease = await backend.allocateAddress(request(`n${at}`), options());
            defer(() => backend.releaseAddress(lease, options()));
            return lease;
          }),
        );
        const all = leases.flatMap(({ addresses }) => addresses.map(({ address }) => address));
        assert.equal(new Set(all).size, all.length, `an address was given twice: ${all.join(' ')}`);
      },
      notShared,
    );

    check(
      'an address that was released can be had again; releasing is idempotent',
      async ({ ready, request, options }) => {
        const backend = await ready();
        const lease = await backend.allocateAddress(request('n0'), options());
        await backend.releaseAddress(lease, options());
        await backend.releaseAddress(lease, options());
        const asked = staticAddress ? lease.addresses.map(({ address }) => address) : [];
        const again = await backend.allocateAddress(request('n1', asked), options());
        if (staticAddress) assert.equal(textOf(again), textOf(lease));
        await backend.releaseAddress(again, options());
      },
    );

    check('releaseAddress() twice does not take the address from who has it now', async (context) => {
      const { ready, lease, request, options } = context;
      const backend = await ready();
      const first = await backend.allocateAddress(request('n0'), options());
      const asked = staticAddress ? first.addresses.map(({ address }) => address) : [];
      await backend.releaseAddress(first, options());
      const second = await lease('n1', asked);
      await backend.releaseAddress(first, options());
      const third = await lease('n2');
      if (podToPod) assert.notEqual(textOf(third), textOf(second), 'the address of another was given away');
    });

    check('a lease without addresses stands for whatever its NIC holds', async ({ ready, lease, request, options }) => {
      const backend = await ready();
      const given = await backend.allocateAddress(request('n0'), options());
      await backend.releaseAddress({ ...given, addresses: [], gateways: [], dns: [], mtu: 0 }, options());
      const asked = staticAddress ? given.addresses.map(({ address }) => address) : [];
      const again = await lease('n1', asked);
      if (staticAddress) assert.equal(textOf(again), textOf(given));
    });

    check(
      'no address is lost: more leases come and go than the network has addresses',
      async ({ ready, request, options }) => {
        const backend = await ready();
        for (let round = 0; round < rounds; round++) {
          const lease = await backend.allocateAddress(request(`n${round}`), options());
          await backend.releaseAddress(lease, options());
        }
      },
      notShared,
    );

    check(
      'an address that is asked for is given',
      async (context) => {
        const { ready, lease, subnets } = context;
        await ready();
        const wanted = subnets.map((subnet) => nth(subnet, 5n));
        assert.deepEqual(
          (await lease('n0', wanted)).addresses.map(({ address }) => address).sort(),
          [...wanted].sort(),
        );
      },
      notStatic,
    );

    check(
      'an address that another NIC has is refused with IPAM_ADDRESS_TAKEN, and given once it is released',
      async (context) => {
        const { ready, lease, request, options, subnets } = context;
        const backend = await ready();
        const wanted = [nth(subnets[0] as Subnet, 5n)];
        const first = await backend.allocateAddress(request('n0', wanted), options());
        await expectCode(backend.allocateAddress(request('n1', wanted), options()), 'IPAM_ADDRESS_TAKEN');
        await backend.releaseAddress(first, options());
        await lease('n1', wanted);
      },
      notStatic || notShared,
    );

    check(
      'an address that cannot be had is a clear error, never another address',
      async (context) => {
        const { ready, request, options, subnets, lease } = context;
        const backend = await ready();
        const [subnet] = subnets as [Subnet];
        const { gateways } = await lease('n0');
        const gateway = gateways.find((each) => inSubnet(each, subnet)) as string;
        const reserved = ['IPAM_ADDRESS_RESERVED', 'IPAM_ADDRESS_OUT_OF_RANGE'] as const;
        const refuse = (address: string, ...codes: Parameters<typeof expectCode>[1][]) =>
          expectCode(backend.allocateAddress(request('n1', [address]), options()), ...codes);
        await refuse('not-an-address', 'IPAM_ADDRESS_INVALID');
        await refuse('', 'IPAM_ADDRESS_INVALID');
        await refuse(nth(subnet, -5n), 'IPAM_ADDRESS_OUT_OF_RANGE');
        await refuse(gateway, ...reserved);
        for (const address of special(subnet)) await refuse(address, ...reserved);
      },
      notStatic,
    );

    check(
      'allocateAddress() that is refused allocates nothing, not even the address that could be had',
      async (context) => {
        const { ready, request, options, subnets, lease } = context;
        const backend = await ready();
        const [subnet] = subnets as [Subnet];
        const good = nth(subnet, 5n);
        const codes = ['IPAM_ADDRESS_OUT_OF_RANGE', 'IPAM_ADDRESS_INVALID'] as const;
        const both = request('n0', [good, nth(subnet, -5n)]);
        await expectCode(backend.allocateAddress(both, options()), ...codes);
        assert.equal(textOf(await lease('n1', [good])), good);
      },
      notStatic,
    );

    check(
      'an address that is asked for is refused with NOT_SUPPORTED where staticAddress is not declared',
      async ({ ready, request, options, subnets }) => {
        const backend = await ready();
        const asked = request('n0', [nth(subnets[0] as Subnet, 5n)]);
        await expectCode(backend.allocateAddress(asked, options()), 'NOT_SUPPORTED');
      },
      staticAddress && 'it is declared',
    );

    check('allocateAddress() with a signal that has fired rejects with its reason', async ({ ready, request }) => {
      const backend = await ready();
      await expectCode(backend.allocateAddress(request('n0'), abortedCall()), 'ABORTED');
    });
  });
}

/** The addresses of a subnet that no NIC can have: its first, and IPv4's last. */
function special({ first, last, family, prefixLength }: Subnet): string[] {
  if (prefixLength >= (family === 4 ? 31 : 127)) return [];
  const values = family === 4 ? [first, last] : [first];
  return values.map((value) => formatAddress(value, family));
}

/** The nth address from the end of a subnet; a negative one lies beyond it. */
function nth({ last, family }: Subnet, n: bigint): string {
  return formatAddress(last - n, family);
}

function room({ subnets }: NetworkContext): number {
  return Math.min(...subnets.map(({ first, last }) => Number(last - first > 1000n ? 1000n : last - first) - 4));
}
