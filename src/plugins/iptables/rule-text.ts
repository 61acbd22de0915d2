/**
 * Rules in the notation of iptables-save: words, the ones with blanks in double quotes. A rule of ours is written exactly
 * as iptables-save prints it, so that two rules are the same when their words are.
 */

export type Words = readonly string[];

/** A rule as saved: `-A CHAIN words`. */
export interface SavedRule {
  readonly table: string;
  readonly chain: string;
  readonly words: Words;
  /** Of `-m comment --comment`; undefined: none. */
  readonly comment: string | undefined;
}

export interface SavedTable {
  readonly chains: ReadonlySet<string>;
  readonly rules: readonly SavedRule[];
}

const PLAIN = /^[A-Za-z0-9_.,:/!=@%+-]+$/;

export function quote(word: string): string {
  if (/["\\\n\0]/.test(word)) throw new TypeError(`a firewall rule cannot hold ${JSON.stringify(word)}`);
  return PLAIN.test(word) ? word : `"${word}"`;
}

export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g))
    words.push(match[1]?.replace(/\\(.)/g, '$1') ?? match[2] ?? '');
  return words;
}

/** What `iptables-save` prints, by table. Lines of other kinds (comments, COMMIT) are passed over. */
export function parseSave(text: string): Map<string, SavedTable> {
  const tables = new Map<string, { chains: Set<string>; rules: SavedRule[] }>();
  let current: { chains: Set<string>; rules: SavedRule[] } | undefined;
  let name = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) {
      name = line.slice(1).trim();
      current = { chains: new Set(), rules: [] };
      tables.set(name, current);
    } else if (line.startsWith(':')) {
      current?.chains.add(line.slice(1).split(' ')[0] ?? '');
    } else if (line.startsWith('-A ')) {
      const [, chain = '', ...words] = splitWords(line);
      current?.rules.push({ table: name, chain, words, comment: commentOf(words) });
    }
  }
  return tables;
}

export function commentOf(words: Words): string | undefined {
  const index = words.indexOf('--comment');
  return index < 0 ? undefined : words[index + 1];
}

export const sameWords = (a: Words, b: Words): boolean =>
  a.length === b.length && a.every((word, index) => word === b[index]);

export const ruleText = (chain: string, words: Words): string => `-A ${chain} ${words.map(quote).join(' ')}`;
