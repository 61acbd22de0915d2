import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { sameData } from '../../../src/core/json.js';

describe('sameData', () => {
  it('says what node:util says of plain data', () => {
    const few = fc.letrec((tie) => ({
      value: fc.oneof(
        fc.constantFrom(null, undefined, 0, 1, '', 'a', true),
        fc.array(tie('value'), { maxLength: 2 }),
        fc.dictionary(fc.constantFrom('a', 'b'), tie('value')),
      ),
    })).value;
    fc.assert(fc.property(few, few, (one, other) => sameData(one, other) === isDeepStrictEqual(one, other)));
    fc.assert(fc.property(fc.jsonValue(), (one) => sameData(one, JSON.parse(JSON.stringify(one)))));
  });

  it('knows a key that every object has from one that it was given', () => {
    expect(sameData({ constructor: 1 }, {})).to.equal(false);
    expect(sameData({ a: undefined }, { constructor: undefined })).to.equal(false);
  });
});
