import { join } from 'node:path';
import { definePlugin, HOST_TOKENS, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { SwitchBackend } from './backend.js';
import { capabilities } from './capabilities.js';

export default definePlugin({
  name: 'switch',
  kind: 'network',
  apiVersion: PLUGIN_API_VERSION,
  description:
    'an Ethernet switch in a process of its own: pods reach each other, and nothing else; no privilege needed',
  capabilities,
  options: z.strictObject({
    directory: z.string().startsWith('/').optional().meta({ path: true }).describe('holds the sockets, mode 0700'),
  }),
  register({ bind }, options) {
    bind(TOKENS.network)
      .toDynamicValue((context) => {
        const runtimeDir = context.get(HOST_TOKENS.paths, { optional: true })?.runtimeDir ?? '/tmp';
        return new SwitchBackend(context.get(TOKENS['address-pool']), options.directory ?? join(runtimeDir, 'switch'));
      })
      .inSingletonScope();
  },
});
