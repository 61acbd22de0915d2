import assert from 'node:assert/strict';
import { CAPABILITY_SCHEMAS } from '../../../core/registry/capabilities.js';
import { assertDeepFrozen } from '../../kit/assertions.js';
import type { FirewallSuite } from './context.js';
import type { FirewallContract } from './types.js';

/** Of a firewall that declares that it enforces nothing. */
export function nullContract({ describe, check }: FirewallSuite, { capabilities }: FirewallContract): void {
  describe('a firewall that enforces nothing', () => {
    check('capabilities are complete, frozen throughout, and what the plugin declared', async ({ firewall }) => {
      CAPABILITY_SCHEMAS.firewall.parse(firewall.capabilities);
      assertDeepFrozen(firewall.capabilities, 'capabilities');
      assert.deepEqual(firewall.capabilities, capabilities);
    });

    check('it accepts every call, changes no rule, and claims no port', async (context) => {
      const { firewall, network, port, options, rules } = context;
      const before = await rules();
      await firewall.ensureNetwork(network, options());
      await firewall.ensureNetwork({ ...network, isolated: true }, options());
      await firewall.publish([port(20_000), port(20_001, { protocol: 'udp' })], options());
      assert.deepEqual([...(await firewall.published(options()))], [], 'it claims ports that nothing publishes');
      assert.deepEqual([...(await firewall.check(options()))], []);
      await firewall.repair(options());
      await firewall.unpublish([port(20_000).id], options());
      await firewall.removeNetwork(network.name, options());
      await firewall.removeNetwork(network.name, options());
      assert.deepEqual(await rules(), before);
    });
  });
}
