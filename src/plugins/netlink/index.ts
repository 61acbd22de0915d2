import { definePlugin } from '../../core/define-plugin.js';
import { ownerTag } from '../../core/ownership.js';
import { HOST_TOKENS, TOKENS } from '../../core/plugin.js';
import { netlinkCapabilities } from './capabilities.js';
import { netlinkOptions } from './options.js';

export default definePlugin({
  name: 'netlink',
  kind: 'network',
  apiVersion: 1,
  description: 'Linux bridges with taps on them, made over rtnetlink',
  capabilities: netlinkCapabilities,
  options: netlinkOptions,
  register({ bind }, options) {
    bind(TOKENS.network)
      .toDynamicValue(async (context) => {
        const [firewall, pool] = await Promise.all([
          context.getAsync(TOKENS.firewall),
          context.getAsync(TOKENS['address-pool']),
        ]);
        // Native calls are loaded only where they are needed.
        const { NetlinkBackend } = await import('./backend.js');
        const { runtimeDir, stateDir } = context.get(HOST_TOKENS.paths);
        const tools = context.get(HOST_TOKENS.tools);
        const forwards = context.get(HOST_TOKENS.forwards, { optional: true });
        const logger = context.get(HOST_TOKENS.logger, { optional: true });
        const owner = ownerTag(stateDir);
        return new NetlinkBackend(options, {
          firewall,
          pool,
          runtimeDir,
          tools,
          owner,
          forwards,
          ...(logger && { logger }),
        });
      })
      .inSingletonScope();
  },
});
