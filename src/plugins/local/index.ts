import { join } from 'node:path';
import { z } from 'zod';
import { definePlugin } from '../../core/define-plugin.js';
import { HOST_TOKENS, PLUGIN_API_VERSION, TOKENS } from '../../core/plugin.js';
import { defaultDirectories } from '../../host/paths.js';
import { POOL_CAPABILITIES, STATE_CAPABILITIES } from './capabilities.js';

/** State 'local': records in one LMDB file, shared by any number of processes. */
export const localState = definePlugin({
  name: 'local',
  kind: 'state',
  apiVersion: PLUGIN_API_VERSION,
  description: 'records in an LMDB file of this machine',
  capabilities: STATE_CAPABILITIES,
  options: z.strictObject({
    directory: z
      .string()
      .startsWith('/')
      .optional()
      .meta({ path: true })
      .describe("holds the file and its locks, mode 0700; default: hyperplug's state directory"),
  }),
  register({ bind }, options) {
    bind(TOKENS.state)
      .toDynamicValue(async (context) => {
        const { LocalStateStore } = await import('./state-store.js');
        const paths = context.get(HOST_TOKENS.paths, { optional: true });
        const directory = options.directory ?? paths?.stateDir ?? defaultDirectories().stateDirectory;
        return new LocalStateStore(join(directory, 'state.mdb'));
      })
      .inSingletonScope();
  },
});

/** Address pool 'local': addresses in memory, durable and shared between processes by the state store. */
export const localAddressPool = definePlugin({
  name: 'local',
  kind: 'address-pool',
  apiVersion: PLUGIN_API_VERSION,
  description: 'addresses kept in the state store',
  capabilities: POOL_CAPABILITIES,
  register({ bind }) {
    bind(TOKENS['address-pool'])
      .toDynamicValue(async (context) => {
        const { LocalAddressPool } = await import('./address-pool.js');
        return new LocalAddressPool(await context.getAsync(TOKENS.state));
      })
      .inSingletonScope();
  },
});
