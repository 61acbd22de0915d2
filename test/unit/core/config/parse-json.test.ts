import { expect } from 'chai';
import fc from 'fast-check';
import { parseJson } from '../../../../src/core/config/parse-json.js';
import { nodeOf, plainValue } from '../../../../src/core/config/tree.js';
import { isHyperplugError } from '../../../../src/core/errors.js';
import { throws } from '../../../support/rejects.js';

/** `__proto__` as a key would be the prototype of the expected value, and null sections at the top are left out. */
const sound = (text: string) => !text.includes('__proto__');

describe('parseJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(3), (value, indent) => {
        const text = JSON.stringify([value], null, indent);
        fc.pre(sound(text));
        expect(plainValue(parseJson(text, 'x.json'))).to.deep.equal(JSON.parse(text));
      }),
    );
  });

  it('accepts and refuses exactly the texts that JSON.parse does, keys that stand twice aside', () => {
    const pieces = fc.array(fc.constantFrom(...'{}[],:"a1-.e0\\ \n', 'true', 'null', '"k"', '1.5'), { maxLength: 12 });
    fc.assert(
      fc.property(pieces, (parts) => {
        const text = parts.join('');
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        try {
          parseJson(text, 'x.json');
          expect(valid, text).to.equal(true);
        } catch (error) {
          if (!isHyperplugError(error)) throw error;
          expect(valid && !error.message.includes('twice'), text).to.equal(false);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('tells the line of every key', () => {
    const tree = parseJson('{\n  "a": 1,\n  "b": {\n    "c":\n      [1,\n 2]\n  }\n}\n', '/x.json');
    const line = (...path: (string | number)[]) => nodeOf(tree, path)?.origin;
    expect(line('a')).to.deep.equal({ kind: 'file', file: '/x.json', line: 2 });
    expect(line('b')).to.deep.include({ line: 3 });
    expect(line('b', 'c')).to.deep.include({ line: 4 });
    expect(line('b', 'c', 1)).to.deep.include({ line: 6 });
  });

  it('says where it is wrong, and shows nothing of what stands there', () => {
    const error = throws(
      () => parseJson('{\n  "token": hunter2\n}', '/x.json'),
      'CONFIG_SYNTAX',
      '/x.json:2:12',
      'a value',
    );
    expect(JSON.stringify([error.message, error.details])).not.to.include('hunter2');
    throws(() => parseJson('{"a": 1,\n "a": 2}', '/x.json'), 'CONFIG_SYNTAX', '/x.json:2:', '"a" stands here twice');
    throws(() => parseJson('{"a": 1', '/x.json'), 'CONFIG_SYNTAX', 'got the end of the file');
    throws(() => parseJson('[1] 2', '/x.json'), 'CONFIG_SYNTAX', 'expected the end of the file');
  });

  it('bounds the depth', () => {
    throws(() => parseJson('['.repeat(100_000), '/x.json'), 'CONFIG_SYNTAX', 'levels');
  });
});
