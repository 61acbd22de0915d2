import { definePlugin, PLUGIN_API_VERSION, TOKENS, z } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { __CLASS__Driver } from './driver.js';

export default definePlugin({
  name: '__NAME__',
  kind: 'hypervisor',
  apiVersion: PLUGIN_API_VERSION,
  description: 'VMs run by __NAME__',
  capabilities,
  options: z.strictObject({}),
  register({ bind }) {
    bind(TOKENS.hypervisor)
      .toDynamicValue(() => new __CLASS__Driver())
      .inSingletonScope();
  },
});
