import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import type { NicEndpointKind, PortForward } from '../../../core/hypervisor.js';
import type { HostNic, TransportProtocol } from '../../../core/network.js';
import { jsonRoundTrip, outcomeOf } from '../../kit/assertions.js';
import {
  freePort as freePortOf,
  holdPort as holdHere,
  type PortHost,
  portTaken as portTakenOf,
} from '../../kit/ports.js';
import { firstReason } from '../../kit/suite.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type NetworkSuite, nothingRemains } from './context.js';
import type { NetworkContract } from './types.js';

const KINDS: readonly NicEndpointKind[] = ['tap-fd', 'tap-name', 'seqpacket', 'stream', 'builtin'];
const PROTOCOLS: readonly TransportProtocol[] = ['tcp', 'udp', 'sctp'];

export function nicContract({ describe, check }: NetworkSuite, contract: NetworkContract): void {
  const { capabilities, inject = {}, checksPorts = true, ports: portHost = { hold: holdHere } } = contract;
  const freePort = () => freePortOf(portHost);
  const portTaken = (port: number) => portTakenOf(port, portHost);
  const holdPort = () => portHost.hold();
  const { endpoints, publish, podToPod, publishToAny } = capabilities;
  const undeclaredKind = KINDS.find((kind) => !endpoints.includes(kind));
  const undeclaredProtocol = PROTOCOLS.find((protocol) => !publish.includes(protocol));
  const noPorts = firstReason(
    [!publish.includes('tcp'), 'publishing tcp is not declared'],
    [!checksPorts, 'ports are checked by the hypervisor (checksPorts)'],
  );

  describe('NICs', () => {
    check(
      'traces() tells another manager all that a NIC has; detach() and release by its ids remove it',
      async (context) => {
        const { ready, lease, plan, attach, another, options, port } = context;
        await ready();
        const manager = await another();
        if (!manager.traces) return;
        const tracesOf = async (podId: string) =>
          (await manager.traces?.(options()))?.filter((trace) => trace.podId === podId) ?? [];
        const given = await lease('n0');
        const publishes = publish.includes('tcp') && capabilities.livePublish;
        const ports = publishes ? [port(await freePort())] : [];
        const nic = await attach(plan(given, { ports: checksPorts ? ports : [] }));
        const [trace, ...others] = await tracesOf('contract-n0');
        assert.ok(trace, 'it is not told of');
        assert.deepEqual(others, [], 'it is told of twice');
        assert.equal(trace.nicId, 'n0');
        assert.deepEqual([...trace.addresses].sort(), given.addresses.map(({ address }) => address).sort());
        assert.deepEqual(
          trace.ports.map(({ hostPort }) => hostPort),
          checksPorts ? ports.map(({ hostPort }) => hostPort) : [],
        );
        await nic.handedOver();
        const { version, backend, network, podId, nicId } = nic.record;
        await manager.detach({ version, backend, network, podId, nicId, data: null }, options());
        await manager.releaseAddress({ ...given, addresses: [] }, options());
        assert.deepEqual(await tracesOf('contract-n0'), []);
      },
      !podToPod && 'podToPod is not declared: a NIC has nothing that others could have',
    );

    for (const endpoint of KINDS) {
      check(
        `attach() makes an endpoint of the kind planned: ${endpoint}`,
        async ({ ready, lease, plan, attach }) => {
          await ready();
          const given = await lease('n0');
          const nic = await attach(plan(given, { endpoint }));
          assert.equal(nic.endpoint.kind, endpoint);
          assert.equal(nic.nicId, 'n0');
          const { version, backend, network, podId, nicId } = jsonRoundTrip(nic.record, 'record');
          assert.deepEqual(
            { version, backend, network, podId, nicId },
            { version: 1, backend: nic.record.backend, network: given.network, podId: 'contract-n0', nicId: 'n0' },
          );
        },
        !endpoints.includes(endpoint) && 'it is not declared',
      );
    }

    check('the record names the backend', async ({ ready, lease, plan, attach }) => {
      const backend = await ready();
      assert.equal((await attach(plan(await lease('n0')))).record.backend, backend.name);
    });

    check('handedOver() is idempotent, and closes our copies of descriptors once', async (context) => {
      const { ready, lease, plan, attach } = context;
      await ready();
      const nic = await attach(plan(await lease('n0')));
      const fds = nic.endpoint.kind === 'tap-fd' ? nic.endpoint.fds : [];
      for (const fd of fds) assert.ok(isOpen(fd), `descriptor ${fd} is not open`);
      await Promise.all([nic.handedOver(), nic.handedOver()]);
      for (const fd of fds) assert.ok(!isOpen(fd), `descriptor ${fd} is still open`);
      // Descriptors that have these numbers now are other people's.
      const held = await holdPort();
      await nic.handedOver();
      assert.ok(await portTaken(held.port), 'a descriptor of somebody else was closed');
      await held.close();
    });

    check(
      'detach() removes what attach() made, is idempotent, and works by record from another manager',
      async (context) => {
        const { ready, another, lease, plan, options } = context;
        const backend = await ready();
        const second = await another();
        await second.init(capabilities.multipleNetworks ? contract.networks : [contract.networks[0]], options());
        const given = await lease('n0');
        await nothingRemains(contract, async () => {
          for (const remover of [backend, second]) {
            const nic = await backend.attach(plan(given), options());
            const record = jsonRoundTrip(nic.record, 'record');
            await nic.handedOver();
            await remover.detach(record, options());
            await remover.detach(record, options());
          }
        });
      },
    );

    check('detach() without handedOver() leaves no descriptor open', async ({ ready, lease, plan, options }) => {
      const backend = await ready();
      const given = await lease('n0');
      await nothingRemains(contract, async () => {
        const nic = await backend.attach(plan(given), options());
        await backend.detach(nic.record, options());
        await nic.handedOver();
      });
    });

    check('NICs attached at once have endpoints of their own', async ({ ready, lease, plan, attach }) => {
      await ready();
      const count = podToPod ? 8 : 3;
      const nics = await Promise.all(
        Array.from({ length: count }, async (_, at) => attach(plan(await lease(`n${at}`)))),
      );
      const ends = nics.flatMap(endpointIdentity);
      assert.equal(new Set(ends).size, ends.length, `two NICs share an endpoint: ${ends.join(' ')}`);
      assert.deepEqual(
        nics.map(({ nicId }) => nicId),
        nics.map((_, at) => `n${at}`),
      );
    });

    check(
      'attach() of an endpoint that is not declared rejects with NOT_SUPPORTED and leaves nothing',
      async ({ ready, lease, plan, options }) => {
        const backend = await ready();
        const wrong = plan(await lease('n0'), { endpoint: undeclaredKind as NicEndpointKind });
        await nothingRemains(contract, async () => {
          await expectCode(backend.attach(wrong, options()), 'NOT_SUPPORTED');
        });
      },
      !undeclaredKind && 'every kind is declared',
    );

    check('attach() with a signal that has fired rejects with its reason and leaves nothing', async (context) => {
      const { ready, lease, plan, attach } = context;
      const backend = await ready();
      const given = await lease('n0');
      await nothingRemains(contract, async () => {
        await expectCode(backend.attach(plan(given), abortedCall()), 'ABORTED');
      });
      await attach(plan(given));
    });

    check(
      'attach() that fails on its way leaves nothing, and a retry works',
      async ({ ready, lease, plan, options, attach, port }) => {
        const backend = await ready();
        const given = await lease('n0');
        const hostPort = await freePort();
        const ports = publish.includes('tcp') ? [port(hostPort, { protocol: 'tcp' })] : [];
        await nothingRemains(contract, async () => {
          await inject.attach?.(backend);
          const outcome = await outcomeOf(backend.attach(plan(given, { ports }), options()));
          assert.ok('error' in outcome, 'attach() resolved though it was made to fail');
        });
        assert.ok(!(await portTaken(hostPort)), 'its port is still taken');
        await attach(plan(given, { ports }));
      },
      !inject.attach && 'the factory offers no inject.attach',
    );
  });

  describe('ports', () => {
    check(
      'a port that another program has is refused with NET_PORT_IN_USE, leaves nothing, and works once it is free',
      async ({ ready, lease, plan, options, attach, port, defer }) => {
        const backend = await ready();
        const held = await holdPort();
        defer(() => held.close());
        const free = await freePort();
        const ports = [port(free, { protocol: 'tcp' }), port(held.port, { protocol: 'tcp' })];
        const given = await lease('n0');
        await nothingRemains(contract, async () => {
          await expectCode(backend.attach(plan(given, { ports }), options()), 'NET_PORT_IN_USE');
        });
        assert.ok(!(await portTaken(free)), 'the port that could be had remained taken');
        await held.close();
        await attach(plan(given, { ports }));
      },
      noPorts,
    );

    check(
      'a port that another NIC has is refused with NET_PORT_IN_USE; that NIC keeps it until it is detached',
      async ({ ready, lease, plan, options, attach, port }) => {
        const backend = await ready();
        const ports = [port(await freePort(), { protocol: 'tcp' })];
        const [first, second] = [await lease('n0'), await lease('n1')];
        const holder = await backend.attach(plan(first, { ports }), options());
        await expectCode(backend.attach(plan(second, { ports }), options()), 'NET_PORT_IN_USE');
        await expectCode(backend.attach(plan(second, { ports }), options()), 'NET_PORT_IN_USE');
        await holder.handedOver();
        await backend.detach(holder.record, options());
        await attach(plan(second, { ports }));
      },
      noPorts || (endpoints[0] === 'builtin' && !capabilities.hypervisorNetwork && 'ports are the hypervisor’s'),
    );

    check(
      'a protocol that is not declared is refused with NOT_SUPPORTED and leaves nothing',
      async ({ ready, lease, plan, options, port }) => {
        const backend = await ready();
        const given = await lease('n0');
        const ports = [port(await freePort(), { protocol: undeclaredProtocol as TransportProtocol })];
        await nothingRemains(contract, async () => {
          await expectCode(backend.attach(plan(given, { ports }), options()), 'NOT_SUPPORTED');
        });
      },
      !undeclaredProtocol && 'every protocol is declared',
    );

    check(
      'one port that leads to several is refused with NOT_SUPPORTED where publishToAny is not declared, and leaves nothing',
      async ({ ready, lease, plan, options, port }) => {
        const backend = await ready();
        const given = await lease('n0');
        const ports = [port(await freePort(), { guestCount: 4 })];
        await nothingRemains(contract, async () => {
          await expectCode(backend.attach(plan(given, { ports }), options()), 'NOT_SUPPORTED');
        });
      },
      firstReason([publishToAny === true, 'it is declared'], [publish.length === 0, 'no protocol is declared']),
    );

    check(
      'a builtin endpoint forwards exactly the ports of the plan, ranges port by port, to the address of the lease',
      async ({ ready, lease, plan, attach, port }) => {
        await ready();
        const given = await lease('n0');
        const base = await freePort();
        const ports = [port(base, { protocol: 'tcp', guestPort: 8080 })];
        const nic = await attach(plan(given, { ports, endpoint: 'builtin' }));
        assert.ok(nic.endpoint.kind === 'builtin');
        const [forward] = nic.endpoint.forwards as [PortForward];
        assert.equal(nic.endpoint.forwards.length, 1);
        const { hostAddress } = ports[0] as { hostAddress: string };
        const guestAddress = given.addresses[0]?.address;
        assert.deepEqual(forward, { protocol: 'tcp', hostAddress, hostPort: base, guestAddress, guestPort: 8080 });
        assert.ok(
          [nic.endpoint.ipv4?.guest, nic.endpoint.ipv6?.guest].includes(guestAddress as string),
          "the endpoint's guest address is not the lease's",
        );
      },
      firstReason(
        [!endpoints.includes('builtin'), 'the builtin endpoint is not declared'],
        [!publish.includes('tcp'), 'publishing tcp is not declared'],
      ),
    );

    check(
      'a builtin endpoint has a range of ports as one forward each: port p to p + d',
      async ({ ready, lease, plan, attach, port }) => {
        await ready();
        const given = await lease('n0');
        const base = await freeRange(3, portHost);
        const ports = [port(base, { protocol: 'tcp', guestPort: 8080, count: 3 })];
        const nic = await attach(plan(given, { ports, endpoint: 'builtin' }));
        assert.ok(nic.endpoint.kind === 'builtin');
        assert.deepEqual(
          nic.endpoint.forwards.map(({ hostPort, guestPort }) => [hostPort - base, guestPort]),
          [
            [0, 8080],
            [1, 8081],
            [2, 8082],
          ],
        );
      },
      firstReason(
        [!endpoints.includes('builtin'), 'the builtin endpoint is not declared'],
        [!publish.includes('tcp'), 'publishing tcp is not declared'],
      ),
    );
  });
}

/** What of an endpoint no other may have. */
function endpointIdentity({ endpoint }: HostNic): (string | number)[] {
  if (endpoint.kind === 'tap-fd') return [...endpoint.fds];
  if (endpoint.kind === 'tap-name' || endpoint.kind === 'interface') return [endpoint.name];
  return endpoint.kind === 'builtin' ? [] : [endpoint.path];
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

/** The first of so many ports of the loopback that were free a moment ago. */
async function freeRange(count: number, host: PortHost): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const first = await freePortOf(host);
    const taken = await Promise.all(Array.from({ length: count }, (_, at) => portTakenOf(first + at, host)));
    if (first + count < 65_536 && !taken.includes(true)) return first;
  }
  throw new Error('no free range of ports');
}
