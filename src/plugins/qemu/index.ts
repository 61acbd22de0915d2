import { definePlugin } from '../../core/define-plugin.js';
import { HOST_TOKENS, type PluginLogger, TOKENS } from '../../core/plugin.js';
import { silentProgress } from '../../core/progress.js';
import { pathTools } from '../../host/path-tools.js';
import { qemuCapabilities } from './capabilities.js';
import { qemuOptions } from './options.js';

const silentLog: PluginLogger = { debug() {}, info() {}, warn() {}, error() {} };

/** QEMU as hypervisor: x86-64 guests by direct kernel boot, KVM or TCG, user-mode network built in. */
const qemuPlugin = definePlugin({
  name: 'qemu',
  kind: 'hypervisor',
  apiVersion: 1,
  capabilities: qemuCapabilities,
  options: qemuOptions,
  description: 'QEMU: runs anywhere, with KVM where that works, else by software emulation',
  register({ bind }, options) {
    bind(TOKENS.hypervisor)
      .toDynamicValue(async ({ get }) => {
        const { QemuDriver } = await import('./driver.js');
        const optional = { optional: true } as const;
        return new QemuDriver(options, {
          tools: get(HOST_TOKENS.tools, optional) ?? pathTools,
          progress: get(HOST_TOKENS.progress, optional) ?? silentProgress,
          log: get(HOST_TOKENS.logger, optional) ?? silentLog,
          paths: get(HOST_TOKENS.paths, optional),
        });
      })
      .inSingletonScope();
  },
  async assess(options, host, call) {
    const { QemuDriver } = await import('./driver.js');
    return new QemuDriver(options, { ...host, log: silentLog }).assess(call);
  },
});

export default qemuPlugin;
