import { expect } from 'chai';
import fc from 'fast-check';
import { jsonText } from '../../../../src/core/state/json-text.js';
import { compareStateKeys, isBelow } from '../../../../src/core/state/keys.js';
import {
  boundsBelow,
  decodeKey,
  decodeValue,
  encodeKey,
  encodeValue,
} from '../../../../src/plugins/local/state-codec.js';
import { throws } from '../../../support/rejects.js';

const part = fc.string({ unit: fc.constantFrom(...'-./09:AZ_az'), minLength: 1, maxLength: 6 });
const key = fc.array(part, { minLength: 1, maxLength: 8 });

describe('state keys', () => {
  it('sort as their encodings do, which decode to them', () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        expect(decodeKey(encodeKey(one))).to.deep.equal(one);
        const bytes = Buffer.compare(encodeKey(one), encodeKey(other));
        expect(Math.sign(compareStateKeys(one, other))).to.equal(bytes);
      }),
    );
  });

  it('lie within the bounds of exactly the prefixes they are below of', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 3 }), key, (prefix, each) => {
        for (const subject of [each, [...prefix, ...each].slice(0, 8)]) {
          const { start, end } = boundsBelow(prefix);
          const bytes = encodeKey(subject);
          const within = Buffer.compare(bytes, start) >= 0 && Buffer.compare(bytes, end) < 0;
          expect(within).to.equal(isBelow(subject, prefix));
        }
      }),
    );
  });
});

describe('state values', () => {
  it('round-trip every JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const same = JSON.parse(JSON.stringify(value));
        expect(decodeValue(['k'], encodeValue(value as never))).to.deep.equal(same);
      }),
    );
  });

  it('are read strictly, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        throws(() => decodeValue(['a', 'b'], bytes), 'STATE_CORRUPT', 'record a / b');
      }),
    );
    for (const text of ['null', '{}', '{"v":1}', '{"v":0,"value":1}', '{"v":"1","value":1}', '{"value":1}', '[1]']) {
      throws(() => decodeValue(['a'], Buffer.from(text)), 'STATE_CORRUPT', 'its envelope is not');
    }
    throws(() => decodeValue(['a'], Buffer.from('{"v":2}')), 'STATE_VERSION', 'written in version 2');
  });

  it('name the place of what is not JSON', () => {
    expect(() => jsonText({ a: [1, Number.NaN] })).to.throw(TypeError, 'value.a[1]: expected JSON, got NaN');
    expect(() => jsonText({ a: { b: new Date(0) } } as never)).to.throw(
      TypeError,
      'value.a.b: expected JSON, got a Date',
    );
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => jsonText(cycle as never)).to.throw(TypeError, 'nested too deeply, or a cycle');
  });
});
