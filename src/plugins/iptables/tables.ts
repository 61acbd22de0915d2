import type { CallOptions } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import { silentProgress } from '../../core/progress.js';
import { runCommand } from '../../host/command.js';
import type { Tool, ToolProvider } from '../../host/tools.js';
import type { PlannedRule } from './network-rules.js';
import { ownedRule, ownedWords } from './owner.js';
import { parseSave, quote, type SavedRule, type SavedTable, type Words } from './rule-text.js';

/** One change of a rule set. */
export type Change =
  | { readonly kind: 'chain' | 'remove-chain'; readonly table: string; readonly chain: string }
  /** At the top of its chain, `position` 1 first. */
  | { readonly kind: 'insert'; readonly rule: PlannedRule; readonly position: number }
  | { readonly kind: 'append'; readonly rule: PlannedRule }
  | { readonly kind: 'delete'; readonly table: string; readonly chain: string; readonly words: Words };

/** The rules of one family as they are. */
export class RuleSet {
  constructor(readonly tables: ReadonlyMap<string, SavedTable>) {}

  rules(table?: string, chain?: string): SavedRule[] {
    const tables = table === undefined ? [...this.tables.values()] : [this.tables.get(table)];
    return tables.flatMap((one) => one?.rules ?? []).filter((rule) => chain === undefined || rule.chain === chain);
  }

  hasChain(table: string, chain: string): boolean {
    return this.tables.get(table)?.chains.has(chain) === true;
  }
}

/** Seconds to wait for another program's hold of the tables (xtables lock). */
const LOCK_WAIT_S = '10';

/** iptables-save and iptables-restore of one family, in a network namespace. */
export class Tables {
  constructor(
    readonly family: 4 | 6,
    private readonly tools: ToolProvider,
    private readonly variant: 'auto' | 'nft' | 'legacy',
    private readonly netns: string | undefined,
    private readonly owner?: string,
  ) {}

  async read(call: CallOptions): Promise<RuleSet> {
    const { stdout } = await this.#run('save', ['-c'], undefined, call);
    // Counters stand before each rule: [packets:bytes].
    const tables = [...parseSave(stdout.replace(/^\[\d+:\d+\] /gm, ''))];
    return new RuleSet(
      new Map(
        tables.map(([name, { chains, rules }]) => {
          return [name, { chains, rules: rules.map((rule) => ownedRule(rule, this.owner)) }];
        }),
      ),
    );
  }

  /** All of them or none: one transaction for each table, the first of which is checked with the others before. */
  async apply(changes: readonly Change[], call: CallOptions): Promise<void> {
    if (changes.length === 0) return;
    const tables = [...new Set(changes.map(tableOf))];
    const script = tables
      .map((table) =>
        section(
          table,
          changes.filter((change) => tableOf(change) === table),
          (words) => ownedWords(words, this.owner),
        ),
      )
      .join('');
    if (tables.length > 1) await this.#run('restore', ['--noflush', '--test', '-w', LOCK_WAIT_S], script, call);
    await this.#run('restore', ['--noflush', '-w', LOCK_WAIT_S], script, call);
  }

  async #run(what: 'save' | 'restore', args: readonly string[], input: string | undefined, call: CallOptions) {
    const tool = await this.#tool(what, call);
    try {
      return await runCommand([tool.path, ...args], {
        signal: call.signal,
        netns: this.netns,
        env: tool.env,
        ...(input === undefined ? {} : { input }),
      });
    } catch (error) {
      if (!hasCode(error, 'HOST_COMMAND_FAILED')) throw error;
      const words = String(error.details.stderrTail ?? '').trim() || error.message;
      throw new HyperplugError('FIREWALL_FAILED', `${tool.name}: ${words}`, {
        cause: error,
        details: { ...error.details, script: input },
      });
    }
  }

  #tool(what: 'save' | 'restore', call: CallOptions): Promise<Tool> {
    const base = this.family === 4 ? 'iptables' : 'ip6tables';
    const name = this.variant === 'auto' ? `${base}-${what}` : `${base}-${this.variant}-${what}`;
    return this.tools.locate(name, { signal: call.signal, progress: silentProgress });
  }
}

function section(table: string, changes: readonly Change[], owned: (words: Words) => Words): string {
  // Chains are declared first, and only where they are missing: a declaration empties one that is there.
  const declared = changes.filter((change) => change.kind === 'chain').map((change) => `:${chainOf(change)} - [0:0]`);
  const rest = changes.filter((change) => change.kind !== 'chain').map((change) => line(change, owned));
  return [`*${table}`, ...declared, ...rest, 'COMMIT', ''].join('\n');
}

function line(change: Change, owned: (words: Words) => Words): string {
  switch (change.kind) {
    case 'insert':
      return `-I ${change.rule.chain} ${change.position} ${owned(change.rule.words).map(quote).join(' ')}`;
    case 'append':
      return `-A ${change.rule.chain} ${owned(change.rule.words).map(quote).join(' ')}`;
    case 'delete':
      return `-D ${change.chain} ${owned(change.words).map(quote).join(' ')}`;
    default:
      return `-X ${change.chain}`;
  }
}

const tableOf = (change: Change): string => ('rule' in change ? change.rule.table : change.table);
const chainOf = (change: Change): string => ('rule' in change ? change.rule.chain : change.chain);
