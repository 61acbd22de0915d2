import { definePlugin } from '../../core/define-plugin.js';
import type { Firewall, FirewallCapabilities } from '../../core/firewall.js';
import { deepFreeze } from '../../core/json.js';
import { TOKENS } from '../../core/plugin.js';

const CAPABILITIES: FirewallCapabilities = deepFreeze({
  families: [4, 6],
  protocols: [],
  enforces: false,
  isolation: false,
  localhost: false,
  hairpin: false,
  needsRoot: false,
});

/** The null firewall: accepts every call, makes no rule, and claims none. */
export class NoFirewall implements Firewall {
  readonly name = 'none';
  readonly capabilities = CAPABILITIES;
  async ensureNetwork(): Promise<void> {}
  async removeNetwork(): Promise<void> {}
  async publish(): Promise<void> {}
  async unpublish(): Promise<void> {}
  async published(): Promise<readonly []> {
    return [];
  }
  async check(): Promise<readonly []> {
    return [];
  }
  async repair(): Promise<void> {}
}

/** For networks that need no rules (the hypervisor's own), and for hosts whose rules somebody else writes. */
export default definePlugin({
  name: 'none',
  kind: 'firewall',
  apiVersion: 1,
  description: 'no firewall: accepts every call and makes no rule',
  capabilities: CAPABILITIES,
  register({ bind }) {
    bind(TOKENS.firewall)
      .toDynamicValue(() => new NoFirewall())
      .inSingletonScope();
  },
});
