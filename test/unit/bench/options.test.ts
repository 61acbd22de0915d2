import { expect } from 'chai';
import { numbersOf } from '../../../bench/harness/numbers.js';
import { parseOptions } from '../../../bench/harness/options.js';

const parse = (...words: string[]) => parseOptions(words, ['cold-start', 'ipam', 'qmp'], ['ipam']);

describe('npm run bench', () => {
  it('runs what is usual, one, several, or all', () => {
    expect(parse()).to.deep.equal({ kind: 'run', names: ['ipam'], args: [], json: undefined });
    expect(parse('qmp', '5', '--json', 'x')).to.deep.equal({ kind: 'run', names: ['qmp'], args: ['5'], json: 'x' });
    expect(parse('qmp,ipam')).to.deep.include({ names: ['qmp', 'ipam'] });
    expect(parse('--json', 'x', '--all')).to.deep.include({ names: ['cold-start', 'ipam', 'qmp'], json: 'x' });
  });

  it('lists, helps, and makes the page', () => {
    expect(parse('--list')).to.deep.equal({ kind: 'list' });
    expect(parse('--help')).to.deep.equal({ kind: 'help' });
    expect(parse('--docs', 'a', 'b')).to.deep.equal({ kind: 'docs', results: ['a', 'b'] });
  });

  for (const [words, error] of [
    [['nope'], 'no scenario nope; there are cold-start, ipam, qmp'],
    [['--json'], '--json: expected a path'],
    [['--docs'], '--docs: expected files'],
    [['--all', '3'], '--all: expected nothing after it, got 3'],
    [['qmp,ipam', '3'], 'arguments are for one scenario alone'],
  ] as const) {
    it(`refuses ${words.join(' ')}`, () => {
      expect(() => parse(...words)).to.throw(error);
    });
  }

  it('takes numbers where they are said, else what is usual', () => {
    expect(numbersOf(['3'], [20, 5])).to.deep.equal([3, 5]);
    expect(numbersOf(['3', '4', '5'], [20])).to.deep.equal([3, 4, 5]);
    for (const word of ['0', '-1', '1.5', 'x']) expect(() => numbersOf([word], [1])).to.throw(`got ${word}`);
  });
});
