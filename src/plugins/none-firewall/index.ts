import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { definePlugin } from '../../core/define-plugin.js';
import type { Firewall, FirewallCapabilities, FirewallDrift, PublishedPort } from '../../core/firewall.js';
import { TOKENS } from '../../core/plugin.js';

const capabilities: FirewallCapabilities = Object.freeze({
  families: Object.freeze([4, 6] as const),
  protocols: Object.freeze([]),
  enforces: false,
  isolation: false,
  localhost: false,
  hairpin: false,
  needsRoot: false,
});

/**
 * For networks that need no rules, or whose rules somebody else makes: accepts every call, does nothing, and says so
 * (`enforces` is false, and nothing is published). A network that asks for isolation is refused before it gets here.
 */
export class NoFirewall implements Firewall {
  readonly name = 'none';
  readonly capabilities = capabilities;

  async ensureNetwork(_network: unknown, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, 'ensureNetwork');
  }
  async removeNetwork(_name: string, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, 'removeNetwork');
  }
  async publish(_ports: unknown, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, 'publish');
  }
  async unpublish(_ids: unknown, options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, 'unpublish');
  }
  async published(options: CallOptions): Promise<readonly PublishedPort[]> {
    throwIfAborted(options.signal, 'published');
    return [];
  }
  async check(options: CallOptions): Promise<readonly FirewallDrift[]> {
    throwIfAborted(options.signal, 'check');
    return [];
  }
  async repair(options: CallOptions): Promise<void> {
    throwIfAborted(options.signal, 'repair');
  }
}

export default definePlugin({
  name: 'none',
  kind: 'firewall',
  apiVersion: 1,
  capabilities,
  description: 'no rules at all',
  register({ bind }) {
    bind(TOKENS.firewall)
      .toDynamicValue(() => new NoFirewall())
      .inSingletonScope();
  },
});
