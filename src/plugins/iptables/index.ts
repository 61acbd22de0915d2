import { definePlugin } from '../../core/define-plugin.js';
import { ownerTag } from '../../core/ownership.js';
import { HOST_TOKENS, TOKENS } from '../../core/plugin.js';
import { iptablesCapabilities } from './capabilities.js';
import { iptablesOptions } from './options.js';

export default definePlugin({
  name: 'iptables',
  kind: 'firewall',
  apiVersion: 1,
  description: 'NAT, forwarding and published ports in HYPER chains, by iptables and ip6tables',
  capabilities: iptablesCapabilities,
  options: iptablesOptions,
  register({ bind }, options) {
    bind(TOKENS.firewall)
      .toDynamicValue(async ({ get }) => {
        const { IptablesFirewall } = await import('./firewall.js');
        const paths = get(HOST_TOKENS.paths, { optional: true });
        return new IptablesFirewall(options, get(HOST_TOKENS.tools), paths && ownerTag(paths.stateDir));
      })
      .inSingletonScope();
  },
});
