import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { __CLASS__Pool } from './pool.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'address-pool',
  apiVersion: PLUGIN_API_VERSION,
  description: 'addresses from __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS['address-pool'])
      .toDynamicValue(() => new __CLASS__Pool())
      .inSingletonScope();
  },
});
