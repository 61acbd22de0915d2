import { realpathSync, type Stats, statSync } from 'node:fs';
import { basename } from 'node:path';
import type { CallOptions } from '../../../core/calls.js';
import { hasCode } from '../../../core/errors.js';
import { silentProgress } from '../../../core/progress.js';
import type { ToolProvider } from '../../../host/tools.js';
import type { IptablesOptions } from '../options.js';
import { NftPortTable } from './port-table.js';

/** The one program of iptables-nft, by whatever name it is called. */
const NFT_PROGRAM = /^xtables-nft-multi$/;

/** Whether the machine's iptables writes nf_tables, and then its tables, opened when first asked for. */
export class NftChooser {
  readonly #tables = new Map<4 | 6, NftPortTable>();
  readonly #programs = new Map<4 | 6, Program>();

  constructor(
    private readonly options: Pick<IptablesOptions, 'variant' | 'netns'>,
    private readonly tools: ToolProvider,
    private readonly owner: string | undefined,
  ) {}

  /** undefined: it is the legacy one, or this process may not; iptables itself has the word then. */
  async table(family: 4 | 6, call: CallOptions): Promise<NftPortTable | undefined> {
    if (!(await this.isNft(family, call))) return undefined;
    const known = this.#tables.get(family);
    if (known) return known;
    try {
      // The kernel counts the changes of both families together.
      const other = family === 4 ? 6 : 4;
      const table = new NftPortTable(family, this.options.netns, this.owner, (from, to) =>
        this.#tables.get(other)?.passOver(from, to),
      );
      this.#tables.set(family, table);
      return table;
    } catch (error) {
      if (hasCode(error, 'HOST_PERMISSION')) return undefined;
      throw error;
    }
  }

  close(): void {
    for (const table of this.#tables.values()) table.close();
    this.#tables.clear();
  }

  async isNft(family: 4 | 6, { signal }: CallOptions): Promise<boolean> {
    const { variant } = this.options;
    if (variant !== 'auto') return variant === 'nft';
    let program = this.#programs.get(family);
    if (program === undefined) {
      const name = family === 4 ? 'iptables-save' : 'ip6tables-save';
      program = { path: (await this.tools.locate(name, { signal, progress: silentProgress })).path };
      this.#programs.set(family, program);
    }
    return isNft(program);
  }
}

interface Program {
  readonly path: string;
  /** What it was found to be, by the file that the name led to. */
  seen?: { readonly file: Stats; readonly isNft: boolean };
}

/** Looked at each time: the machine's choice (update-alternatives) may change, and the name leads to another file then. */
function isNft(program: Program): boolean {
  try {
    const file = statSync(program.path);
    const { seen } = program;
    if (seen?.file.ino === file.ino && seen.file.dev === file.dev) return seen.isNft;
    program.seen = { file, isNft: NFT_PROGRAM.test(basename(realpathSync.native(program.path))) };
    return program.seen.isNft;
  } catch {
    return false;
  }
}
