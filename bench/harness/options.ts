/** What the words after `npm run bench --` ask for. */
export type BenchRequest =
  | { readonly kind: 'list' }
  | { readonly kind: 'help' }
  | { readonly kind: 'docs'; readonly results: readonly string[] }
  | {
      readonly kind: 'run';
      readonly names: readonly string[];
      readonly args: readonly string[];
      readonly json: string | undefined;
    };

export const USAGE = `npm run bench                          what tells the most: ours against the bare hypervisor
npm run bench -- NAME [ARGUMENT…]      one scenario
npm run bench -- NAME,NAME…            several
npm run bench -- --all                 all of them
npm run bench -- --list                names, and what each shows
npm run bench -- --docs RESULT…        docs/benchmarks.md from results; of a scenario in several of them the last counts
        --json PATH                    where the result is written (default dist/bench-result.json)
`;

/** @throws Error in words for the terminal. */
export function parseOptions(
  words: readonly string[],
  known: readonly string[],
  usual: readonly string[],
): BenchRequest {
  const rest = [...words];
  const json = takeValue(rest, '--json');
  const [first, ...others] = rest;
  if (first === '--help') return { kind: 'help' };
  if (first === '--list') return { kind: 'list' };
  if (first === '--docs') {
    if (others.length === 0) throw new Error('--docs: expected files that --json wrote');
    return { kind: 'docs', results: others };
  }
  if (first === undefined) return { kind: 'run', names: usual, args: [], json };
  if (first === '--all') {
    if (others.length > 0) throw new Error(`--all: expected nothing after it, got ${others.join(' ')}`);
    return { kind: 'run', names: known, args: [], json };
  }
  const names = first.split(',');
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`no scenario ${unknown.join(', ')}; there are ${known.join(', ')}`);
  if (names.length > 1 && others.length > 0) throw new Error('arguments are for one scenario alone');
  return { kind: 'run', names, args: others, json };
}

function takeValue(words: string[], option: string): string | undefined {
  const at = words.indexOf(option);
  if (at === -1) return undefined;
  const [, value] = words.splice(at, 2);
  if (value === undefined) throw new Error(`${option}: expected a path`);
  return value;
}
