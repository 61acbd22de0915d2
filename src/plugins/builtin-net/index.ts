import { z } from 'zod';
import { definePlugin } from '../../core/define-plugin.js';
import { TOKENS } from '../../core/plugin.js';
import { BACKEND_NAME, builtinNetCapabilities } from './capabilities.js';

/** The hypervisor's own network: works for everyone, needs no privilege, leaves nothing on the host. */
const builtinNetPlugin = definePlugin({
  name: BACKEND_NAME,
  kind: 'network',
  apiVersion: 1,
  capabilities: builtinNetCapabilities,
  options: z.strictObject({}),
  description: "the hypervisor's own network (QEMU user mode): no privilege needed, pods do not reach each other",
  register({ bind }) {
    bind(TOKENS.network)
      .toDynamicValue(async () => new (await import('./backend.js')).BuiltinNetBackend())
      .inSingletonScope();
  },
});

export default builtinNetPlugin;
