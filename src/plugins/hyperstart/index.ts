import { definePlugin } from '../../core/define-plugin.js';
import { PLUGIN_API_VERSION, TOKENS } from '../../core/plugin.js';
import { CAPABILITIES } from './capabilities.js';
import { hyperstartOptions } from './options.js';

/** The host's end of hyperstart's protocol, and of the extension that our own agent speaks. */
export default definePlugin({
  name: 'hyperstart',
  kind: 'agent',
  apiVersion: PLUGIN_API_VERSION,
  description: "hyperstart's protocol 4244, for an original hyperstart as for the agent of this package",
  capabilities: CAPABILITIES,
  options: hyperstartOptions,
  register({ bind }, options) {
    bind(TOKENS.agent)
      .toDynamicValue(async () => new (await import('./agent.js')).HyperstartAgent(options))
      .inSingletonScope();
  },
});
