import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { __CLASS__Backend } from './backend.js';
import { capabilities } from './capabilities.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'network',
  apiVersion: PLUGIN_API_VERSION,
  description: 'networks made by __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS.network)
      .toDynamicValue(() => new __CLASS__Backend())
      .inSingletonScope();
  },
});
