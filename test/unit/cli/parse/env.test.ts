import { expect } from 'chai';
import fc from 'fast-check';
import { parseEnv, parseLabels } from '../../../../src/cli/parse/env.js';

describe('--env and --label', () => {
  it('KEY takes its value from here, or is left out', () => {
    expect(parseEnv(['A=1', 'B', 'C', 'D='], { B: 'here' })).to.deep.equal({ A: '1', B: 'here', D: '' });
  });
  it('the last one holds', () => {
    expect(parseEnv(['A=1', 'A=2'], {})).to.deep.equal({ A: '2' });
  });
  it('a key is needed', () => {
    for (const entry of ['', '=', '=x', 'A\0=1'])
      expect(() => parseEnv([entry], {}), entry).to.throw(/^--env: expected/);
    for (const entry of ['', '=x']) expect(() => parseLabels([entry]), entry).to.throw(/^--label: expected/);
  });
  it('a value is taken as it stands', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(parseEnv([`KEY=${value}`], {})).to.deep.equal({ KEY: value });
        expect(parseLabels([`KEY=${value}`])).to.deep.equal({ KEY: value });
      }),
    );
  });
});
