import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { __CLASS__Agent } from './agent.js';
import { capabilities } from './capabilities.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'agent',
  apiVersion: PLUGIN_API_VERSION,
  description: 'guests that speak __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS.agent)
      .toDynamicValue(() => new __CLASS__Agent())
      .inSingletonScope();
  },
});
