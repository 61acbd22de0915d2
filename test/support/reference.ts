import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PluginKind } from '../../src/core/plugin.js';
import type { ContractRunner } from '../../src/testing/index.js';
import { ADDRESS_POOL_FAILURES } from '../contract/defects/address-pool.js';
import { AGENT_DEFECTS } from '../contract/defects/agent.js';
import { FIREWALL_DEFECTS } from '../contract/defects/firewall.js';
import { HYPERVISOR_DEFECTS } from '../contract/defects/hypervisor.js';
import { NETWORK_DEFECTS } from '../contract/defects/network.js';
import { STATE_STORE_FAILURES } from '../contract/defects/state-store.js';
import { ROOT } from './docs.js';

interface Caught {
  readonly what: string;
  readonly failing: readonly string[];
}

const named = (table: Readonly<Record<string, readonly string[]>>): Caught[] =>
  Object.entries(table).map(([what, failing]) => ({ what, failing }));
const poolFailures = Object.entries(ADDRESS_POOL_FAILURES).map(([what, { tests }]) => [what, tests] as const);

/** What was put into the fakes, and the tests that must fail then. */
export const DEFECTS: Readonly<Record<PluginKind, readonly Caught[]>> = {
  hypervisor: HYPERVISOR_DEFECTS,
  network: NETWORK_DEFECTS,
  firewall: FIREWALL_DEFECTS,
  agent: AGENT_DEFECTS,
  'address-pool': named(Object.fromEntries(poolFailures)),
  state: named(STATE_STORE_FAILURES),
};

const cell = (text: string) => text.replaceAll('|', '\\|');

export function defectTable(kind: PluginKind): string {
  const rows = DEFECTS[kind].map(({ what, failing }) => `| ${cell(what)} | ${failing.map(cell).join('<br>')} |`);
  return ['| an implementation that … | fails |', '|---|---|', ...rows].join('\n');
}

export interface Title {
  readonly group: string;
  readonly title: string;
}

/** Titles of all tests of a suite, by group, whatever the capabilities; nothing is run. */
export function titlesOf(define: (runner: ContractRunner) => void): Title[] {
  const found: Title[] = [];
  const groups: string[] = [];
  const it = (name: string) => {
    found.push({ group: groups.slice(1).join(' › '), title: name.replace(/ \(skipped: .*\)$/, '') });
  };
  const nothing = () => {};
  define({
    describe(name, body) {
      groups.push(name);
      body();
      groups.pop();
    },
    it: Object.assign(it, { skip: it }),
    before: nothing,
    after: nothing,
    beforeEach: nothing,
    afterEach: nothing,
  });
  return found;
}

export interface Member {
  readonly name: string;
  readonly signature: string;
  readonly doc: string;
}

const COMMENT = String.raw`/\*\*(?:(?!\*/)[\s\S])*\*/\n`;

/** The members of an interface of src/core, as they stand in its source. */
export function membersOf(file: string, name: string): { readonly doc: string; readonly members: readonly Member[] } {
  const source = readFileSync(join(ROOT, 'src', 'core', file), 'utf8');
  const match = new RegExp(`(${COMMENT})?export interface ${name} \\{\\n([\\s\\S]*?)\\n\\}\\n`).exec(source);
  if (!match) throw new Error(`src/core/${file}: no interface ${name}`);
  const member = new RegExp(`( {2}${COMMENT})? {2}((?:readonly )?(\\w+)\\??[:(][\\s\\S]*?;)\\n`, 'g');
  const members = [...`${match[2]}\n`.matchAll(member)].map(([, doc = '', signature = '', field = '']) => ({
    name: field,
    signature: signature.replace(/\s+/g, ' ').replaceAll('( ', '(').replaceAll(', )', ')'),
    doc: plain(doc),
  }));
  return { doc: plain(match[1] ?? ''), members };
}

/** A comment's text, with errors and parameters in paragraphs of their own. */
function plain(comment: string): string {
  return comment
    .replace(/^\s*\/\*\*\s?/, '')
    .replace(/\s*\*\/\s*$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, '').trim())
    .join('\n')
    .replace(/(^|\s)@throws /g, '\n\nErrors: ')
    .replace(/(^|\s)@param (\w+) /g, '\n\n`$2`: ')
    .trim();
}

/** Tests of a method: those whose title names it, and those of the groups, or with the words, that are about it. */
export function testsOf(
  member: string,
  titles: readonly Title[],
  groups: Readonly<Record<string, readonly string[]>>,
): string[] {
  const about = groups[member] ?? [];
  const isOf = ({ group, title }: Title) =>
    new RegExp(`\\b${member}\\(`).test(title) || about.some((each) => group === each || title.includes(each));
  return [...new Set(titles.filter(isOf).map(({ title }) => title))];
}
