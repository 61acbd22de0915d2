import { expect } from 'chai';
import { encodeRecipe, noteIn, startStep, uidStep, withNote } from '../../../src/host/launch-recipe.js';

describe('the recipe of a launch', () => {
  const recipe = encodeRecipe([
    ['lock', '/run/a b'],
    ['room', '/dev/shm', 256],
  ]);

  it('says before each step how many words it has, each of which ends with a zero', () => {
    expect(recipe).to.equal('2\0lock\0/run/a b\x003\0room\0/dev/shm\x00256\0');
  });

  it('keeps the last of what is noted', () => {
    expect(noteIn(recipe)).to.equal(undefined);
    const once = withNote(recipe, '{"a":1}');
    expect(noteIn(once)).to.equal('{"a":1}');
    expect(withNote(once, 'other')).to.equal(`${recipe}2\0note\0other\0`);
  });

  it('has this process and the own user among the options alone, and as placeholders', () => {
    const parent = `--parent=${process.pid}`;
    const argv = ['/launcher', 'outer', '--uid=7', '--gid=7', parent, '--', 'A=--uid=7', '/program', '--uid=7', parent];
    expect(startStep(argv, 7)).to.deep.equal([
      ...['start', 'outer', '--uid=##uid##', '--gid=##uid##', '--parent=##pid##', '--'],
      ...argv.slice(6),
    ]);
    expect(startStep(['/launcher', 'confined', '--', '/program'], undefined)).to.deep.equal([
      ...['start', 'confined', '--', '/program'],
    ]);
  });

  it('names the directory by which a user counts as taken', () => {
    expect(uidStep('/run/pods/p/s', { first: 10, count: 5 })).to.deep.equal(['uid', '/run/pods', 'p', 's', 10, 5]);
  });
});
