import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { __CLASS__Firewall } from './firewall.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'firewall',
  apiVersion: PLUGIN_API_VERSION,
  description: 'rules in __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS.firewall)
      .toDynamicValue(() => new __CLASS__Firewall())
      .inSingletonScope();
  },
});
