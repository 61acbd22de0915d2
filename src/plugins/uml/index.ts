import { definePlugin } from '../../core/define-plugin.js';
import { HOST_TOKENS, type PluginLogger, TOKENS } from '../../core/plugin.js';
import { silentProgress } from '../../core/progress.js';
import { pathTools } from '../../host/path-tools.js';
import { umlCapabilities } from './capabilities.js';
import { umlOptions } from './options.js';

const silentLog: PluginLogger = { debug() {}, info() {}, warn() {}, error() {} };

/** User Mode Linux as hypervisor: boots in half a second, without KVM and without root. */
const umlPlugin = definePlugin({
  name: 'uml',
  kind: 'hypervisor',
  apiVersion: 1,
  capabilities: umlCapabilities,
  options: umlOptions,
  description: 'User Mode Linux: needs neither KVM nor root, boots in half a second',
  register({ bind }, options) {
    bind(TOKENS.hypervisor)
      .toDynamicValue(async ({ get }) => {
        const { UmlDriver } = await import('./driver.js');
        const optional = { optional: true } as const;
        return new UmlDriver(options, {
          tools: get(HOST_TOKENS.tools, optional) ?? pathTools,
          progress: get(HOST_TOKENS.progress, optional) ?? silentProgress,
          log: get(HOST_TOKENS.logger, optional) ?? silentLog,
        });
      })
      .inSingletonScope();
  },
  async assess(options, host, call) {
    const { UmlDriver } = await import('./driver.js');
    return new UmlDriver(options, { ...host, log: silentLog }).assess(call);
  },
});

export default umlPlugin;
