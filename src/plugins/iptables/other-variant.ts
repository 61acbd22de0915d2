import { readFileSync } from 'node:fs';
import type { CallOptions } from '../../core/calls.js';
import { hasCode } from '../../core/errors.js';
import type { FirewallDrift } from '../../core/firewall.js';
import { inNetworkNamespace } from '../../host/netns.js';
import type { ToolProvider } from '../../host/tools.js';
import { isOfNetwork, isOurs } from './network-rules.js';
import type { NftChooser } from './nft/chooser.js';
import type { IptablesOptions } from './options.js';
import { driftOf, removalsFor } from './plan.js';
import { type RuleSet, Tables } from './tables.js';

/** Rules of ours that the machine's other iptables has, from before it was changed: they have their effect besides. */
export class OtherVariant {
  constructor(
    private readonly options: Pick<IptablesOptions, 'netns'>,
    private readonly tools: ToolProvider,
    private readonly chooser: NftChooser,
    private readonly owner: string | undefined,
  ) {}

  async drift(family: 4 | 6, call: CallOptions): Promise<readonly FirewallDrift[]> {
    const { variant, rules } = (await this.#found(family, call)) ?? {};
    if (!rules) return [];
    const program = `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}`;
    return driftOf(rules, { family, networks: [], ports: [] }).map((each) => ({
      ...each,
      rule: `left in ${program} (net repair removes it): ${each.rule}`,
    }));
  }

  /** @param network whose; undefined: all of ours. */
  async remove(family: 4 | 6, network: string | undefined, call: CallOptions): Promise<void> {
    const { tables, rules } = (await this.#found(family, call)) ?? {};
    if (!tables || !rules) return;
    const gone = ({ comment }: { comment?: string | undefined }) =>
      network === undefined || isOfNetwork(comment, network);
    await tables.apply(removalsFor(rules, gone), call);
  }

  /** undefined: there are none. */
  async #found(family: 4 | 6, call: CallOptions) {
    const { netns } = this.options;
    const variant = (await this.chooser.isNft(family, call)) ? 'legacy' : 'nft';
    if (variant === 'legacy' && !hasLegacyTables(family, netns)) return undefined;
    const tables = new Tables(family, this.tools, variant, netns, this.owner);
    try {
      const rules: RuleSet = await tables.read(call);
      return rules.rules().some(({ comment }) => isOurs(comment)) ? { variant, tables, rules } : undefined;
    } catch (error) {
      // A machine that has one of both only.
      if (hasCode(error, 'FIREWALL_FAILED', 'HOST_TOOL_MISSING')) return undefined;
      throw error;
    }
  }
}

/** iptables-legacy-save would make those that are not there. */
function hasLegacyTables(family: 4 | 6, netns: string | undefined): boolean {
  const path = `/proc/thread-self/net/${family === 4 ? 'ip' : 'ip6'}_tables_names`;
  try {
    return inNetworkNamespace(netns, () => readFileSync(path, 'latin1')).trim() !== '';
  } catch {
    return false;
  }
}
