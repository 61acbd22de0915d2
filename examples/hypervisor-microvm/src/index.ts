import { definePlugin, PLUGIN_API_VERSION, TOKENS } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { MicrovmDriver } from './driver.js';
import { options } from './options.js';

export default definePlugin({
  name: 'microvm',
  kind: 'hypervisor',
  apiVersion: PLUGIN_API_VERSION,
  description: "QEMU's microvm machine: few devices, no firmware to speak of, no hot-plug",
  capabilities,
  options,
  register({ bind }, options) {
    bind(TOKENS.hypervisor)
      .toDynamicValue(() => new MicrovmDriver(options))
      .inSingletonScope();
  },
});
