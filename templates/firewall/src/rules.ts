import type { FirewallDrift, FirewallNetwork, PublishedPort } from 'hyperplug';
import { todo } from './todo.js';

/**
 * The rules as the kernel has them. This is what is yours to write. Each rule bears a mark (a comment, a chain, a table of
 * its own) that says whose it is; one without it is never touched. Programs are run by argv, never through a shell.
 */
export class Rules {
  /** Every rule, as text, in order, ours and others'. */
  async read(): Promise<readonly string[]> {
    return [];
  }

  /** All rules of the network, each once, in one transaction. @throws FIREWALL_FAILED: nothing changed. */
  async ensureNetwork(_network: FirewallNetwork, _signal: AbortSignal): Promise<void> {
    todo('Rules.ensureNetwork');
  }

  /** Those of the network and of its ports; none is no error. */
  async removeNetwork(_name: string, _signal: AbortSignal): Promise<void> {
    // Nothing is made yet.
  }

  /** All or none. What is published already changes nothing. */
  async publish(_ports: readonly PublishedPort[], _signal: AbortSignal): Promise<void> {
    todo('Rules.publish');
  }

  async unpublish(_ids: readonly string[], _signal: AbortSignal): Promise<void> {
    todo('Rules.unpublish');
  }

  /** Read from the rules, never from memory. */
  async published(_signal: AbortSignal): Promise<readonly PublishedPort[]> {
    return todo('Rules.published');
  }

  /** What of these networks and their ports is missing or there twice, and what bears our mark and belongs to nothing. */
  async drift(networks: readonly FirewallNetwork[], _signal: AbortSignal): Promise<readonly FirewallDrift[]> {
    return networks.length === 0 ? [] : todo('Rules.drift');
  }

  async repair(_drift: readonly FirewallDrift[], _signal: AbortSignal): Promise<void> {
    todo('Rules.repair');
  }
}
