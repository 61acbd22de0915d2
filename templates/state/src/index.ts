import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { __CLASS__Store } from './store.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'state',
  apiVersion: PLUGIN_API_VERSION,
  description: 'records in __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS.state)
      .toDynamicValue(() => new __CLASS__Store())
      .inSingletonScope();
  },
});
