import assert from 'node:assert/strict';
import { freePort as freePortOf, holdPort as holdHere } from '../../kit/ports.js';
import { firstReason } from '../../kit/suite.js';
import { abortedCall } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type NetworkSuite, nothingRemains } from './context.js';
import type { NetworkContract } from './types.js';

/** Whether a port is published shows in that no other NIC can have it. */
export function livePortContract({ describe, check }: NetworkSuite, contract: NetworkContract): void {
  const { capabilities, checksPorts = true, ports: portHost = { hold: holdHere } } = contract;
  const { livePublish, publish, hypervisorNetwork, endpoints, podToPod } = capabilities;
  const freePort = () => freePortOf(portHost);
  const unless = firstReason(
    [!livePublish, 'livePublish is not declared'],
    [!publish.includes('tcp'), 'publishing tcp is not declared'],
    [hypervisorNetwork || endpoints[0] === 'builtin', 'ports are the hypervisor’s'],
    [!checksPorts, 'ports are checked by the hypervisor (checksPorts)'],
    [!podToPod, 'podToPod is not declared: each NIC has a network of its own'],
  );

  describe('ports of an attached NIC', () => {
    check(
      'publish() takes the ports, a second time changes nothing, and unpublish() gives them back, however often',
      async ({ ready, lease, plan, attach, port, options }) => {
        const backend = await ready();
        const ports = [port(await freePort(), { protocol: 'tcp' }), port(await freePort(), { protocol: 'tcp' })];
        const [first, second] = [await lease('n0'), await lease('n1')];
        const { record } = await attach(plan(first));
        for (let round = 0; round < 2; round++) {
          await backend.publish?.(record, first, ports, options());
          await backend.publish?.(record, first, ports, options());
          for (const one of ports) {
            await expectCode(backend.attach(plan(second, { ports: [one] }), options()), 'NET_PORT_IN_USE');
          }
          await backend.unpublish?.(record, ports, options());
          await backend.unpublish?.(record, ports, options());
        }
        await attach(plan(second, { ports }));
      },
      unless,
    );

    check(
      'publish() of ports of which one is taken rejects with NET_PORT_IN_USE and publishes none',
      async ({ ready, lease, plan, attach, port, options }) => {
        const backend = await ready();
        const [free, taken] = [
          port(await freePort(), { protocol: 'tcp' }),
          port(await freePort(), { protocol: 'tcp' }),
        ];
        const [first, second, third] = [await lease('n0'), await lease('n1'), await lease('n2')];
        const { record } = await attach(plan(first));
        await attach(plan(second, { ports: [taken] }));
        await nothingRemains(contract, async () => {
          await expectCode(
            backend.publish?.(record, first, [free, taken], options()) as Promise<void>,
            'NET_PORT_IN_USE',
          );
        });
        await attach(plan(third, { ports: [free] }));
      },
      unless,
    );

    check(
      'unpublish() takes away the ports it is given and no other',
      async ({ ready, lease, plan, attach, port, options }) => {
        const backend = await ready();
        const [kept, gone] = [port(await freePort(), { protocol: 'tcp' }), port(await freePort(), { protocol: 'tcp' })];
        const [first, second] = [await lease('n0'), await lease('n1')];
        const { record } = await attach(plan(first, { ports: [kept] }));
        await backend.publish?.(record, first, [gone], options());
        await backend.unpublish?.(record, [gone], options());
        await expectCode(backend.attach(plan(second, { ports: [kept] }), options()), 'NET_PORT_IN_USE');
        await attach(plan(second, { ports: [gone] }));
      },
      unless,
    );

    check(
      'publish() with a signal that has fired rejects with its reason and publishes nothing',
      async ({ ready, lease, plan, attach, port }) => {
        const backend = await ready();
        const ports = [port(await freePort(), { protocol: 'tcp' })];
        const [first, second] = [await lease('n0'), await lease('n1')];
        const { record } = await attach(plan(first));
        await expectCode(backend.publish?.(record, first, ports, abortedCall()) as Promise<void>, 'ABORTED');
        assert.ok(await attach(plan(second, { ports })));
      },
      unless,
    );
  });
}
