import { expect } from 'chai';
import { parseYaml } from '../../../../src/core/config/parse-yaml.js';
import { nodeOf, plainValue } from '../../../../src/core/config/tree.js';
import { rejects } from '../../../support/rejects.js';

const read = async (text: string) => plainValue(await parseYaml(text, '/x.yaml'));

describe('parseYaml', () => {
  it('reads maps, lists and scalars, with the line of every key', async () => {
    const tree = await parseYaml('# comment\na: 1\nb:\n  - x\n  - "y"\nc:\n  d: yes\n', '/x.yaml');
    expect(plainValue(tree)).to.deep.equal({ a: 1, b: ['x', 'y'], c: { d: 'yes' } });
    expect(nodeOf(tree, ['b', 1])?.origin).to.deep.equal({ kind: 'file', file: '/x.yaml', line: 5 });
    expect(nodeOf(tree, ['c', 'd'])?.origin).to.deep.include({ line: 7 });
  });

  it('takes an empty file as an empty map', async () => {
    expect(await read('')).to.deep.equal({});
    expect(await read('# nothing\n')).to.deep.equal({});
  });

  it('follows aliases', async () => {
    expect(await read('a: &x {b: [1]}\nc: *x\n')).to.deep.equal({ a: { b: [1] }, c: { b: [1] } });
  });

  it('bounds what aliases unfold to', async () => {
    const bomb = ['a0: &a0 [1, 1]'];
    for (let i = 1; i < 24; i++) bomb.push(`a${i}: &a${i} [*a${i - 1}, *a${i - 1}]`);
    await rejects(read(bomb.join('\n')), 'CONFIG_SYNTAX', '/x.yaml:');
  });

  const wrong: readonly [string, string, ...string[]][] = [
    ['an indentation error', 'a:\n  b: 1\n c: 2\n', '/x.yaml:3'],
    ['a key that stands twice', 'a: 1\nb: 2\na: 3\n', '/x.yaml:3', 'unique'],
    ['two documents', 'a: 1\n---\nb: 2\n', '/x.yaml:'],
    ['a tag that nobody knows', 'a: !secret x\n', '/x.yaml:1'],
    ['an alias of nothing', 'a: *x\n', '/x.yaml:1'],
    ['a key that is a list', '? [a]\n: 1\n', '/x.yaml:1', 'expected a key that is text'],
    ['a tab', 'a:\n\tb: 1\n', '/x.yaml:2'],
  ];
  for (const [title, text, ...parts] of wrong) {
    it(`refuses ${title}`, async () => {
      await rejects(read(text), 'CONFIG_SYNTAX', 'not YAML', ...parts);
    });
  }
});
