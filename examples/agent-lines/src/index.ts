import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { LinesAgent } from './agent.js';
import { capabilities } from './capabilities.js';

export default definePlugin({
  name: 'lines',
  kind: 'agent',
  apiVersion: PLUGIN_API_VERSION,
  description: 'guests that speak JSON lines: an agent of one C file that runs programs, and all else is made of that',
  capabilities,
  options: z.strictObject({
    nicTimeoutMs: z.int().positive().default(10_000).describe('how long a plugged NIC may take to appear in the guest'),
  }),
  register({ bind }, options) {
    bind(TOKENS.agent)
      .toDynamicValue(() => new LinesAgent(options))
      .inSingletonScope();
  },
});
