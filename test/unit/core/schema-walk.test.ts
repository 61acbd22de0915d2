import { expect } from 'chai';
import { z } from 'zod';
import { isMarked, nodeAt, shapeOf, shownSafely } from '../../../src/core/schema-walk.js';

const secret = () => z.string().meta({ secret: true });

describe('isMarked', () => {
  const wrapped: readonly [string, z.ZodType, (string | number)[]][] = [
    ['a member', z.strictObject({ a: secret() }), ['a']],
    ['an optional member', z.strictObject({ a: secret().optional() }), ['a']],
    ['a member with a default', z.strictObject({ a: secret().default('x') }), ['a']],
    [
      'a mark outside of the wrappers',
      z.strictObject({ a: z.string().nullable().default('x').meta({ secret: true }) }),
      ['a'],
    ],
    ['a mark inside of a transformation', z.strictObject({ a: secret().transform((text) => text.length) }), ['a']],
    ['a mark inside of a preprocessed schema', z.strictObject({ a: z.preprocess((value) => value, secret()) }), ['a']],
    ['a member of a list', z.array(secret()), [3]],
    ['a member of a tuple', z.tuple([z.string(), secret()]), [1]],
    ['the rest of a tuple', z.tuple([z.string()], secret()), [4]],
    ['a value of a record', z.record(z.string(), secret()), ['any']],
    ['a member that no key names', z.object({}).catchall(secret()), ['any']],
    [
      'part of what is marked',
      z.strictObject({ a: z.strictObject({ b: z.string() }).meta({ secret: true }) }),
      ['a', 'b'],
    ],
    ['a branch of a union', z.union([z.number(), secret()]), []],
    [
      'a member of the second branch',
      z.union([z.strictObject({ t: z.string() }), z.strictObject({ t: secret() })]),
      ['t'],
    ],
    ['either side of an intersection', z.intersection(z.object({ a: z.string() }), z.object({ b: secret() })), ['b']],
    ['a lazy schema', z.strictObject({ a: z.lazy(() => secret()) }), ['a']],
  ];
  for (const [title, schema, path] of wrapped) {
    it(`sees ${title}`, () => {
      expect(isMarked(schema, path, 'secret')).to.equal(true);
      expect(isMarked(schema, path, 'path')).to.equal(false);
    });
  }

  it('does not see what is elsewhere', () => {
    const schema = z.strictObject({ a: secret(), b: z.string(), c: z.strictObject({ d: z.string() }) });
    for (const path of [[], ['b'], ['c'], ['c', 'd'], ['c', 'a'], ['nothing', 'a']]) {
      expect(isMarked(schema, path, 'secret'), path.join('.')).to.equal(false);
    }
  });
});

describe('nodeAt and shapeOf', () => {
  const schema = z.strictObject({ a: z.array(z.strictObject({ b: z.int().default(1) })).prefault([]) });
  it('find what stands under wrappers', () => {
    expect(nodeAt(schema, ['a', 0, 'b'])?.schema._zod.def.type).to.equal('number');
    expect(nodeAt(schema, ['x'])?.schema._zod.def.type).to.equal('never');
    expect(nodeAt(schema, ['a', 0, 'b', 'c'])).to.equal(undefined);
    expect(Object.keys(shapeOf(z.lazy(() => schema).optional()) ?? {})).to.deep.equal(['a']);
    expect(shapeOf(z.string())).to.equal(undefined);
  });
  it('does not mistake what every object inherits for a member', () => {
    expect(nodeAt(schema, ['toString'])?.schema._zod.def.type).to.equal('never');
  });
});

describe('shownSafely', () => {
  const schema = z.strictObject({
    token: secret(),
    plain: z.string(),
    deep: z.strictObject({ token: secret() }),
    many: z.array(z.string()),
    keys: z.array(secret()),
  });
  it('shows values, but no secret and nothing that may hold one', () => {
    expect(shownSafely(schema, ['plain'], 7)).to.equal('7 (number)');
    expect(shownSafely(schema, ['plain'], undefined)).to.equal('undefined');
    expect(shownSafely(schema, ['token'], 'hunter2')).to.equal('***');
    expect(shownSafely(schema, ['token'], undefined)).to.equal('undefined');
    expect(shownSafely(schema, ['deep'], { token: 'hunter2' })).to.equal('an object with token');
    expect(shownSafely(schema, ['plain'], ['hunter2'])).to.equal('a list of 1');
    expect(shownSafely(schema, ['many'], ['a', 'b'])).to.equal('["a","b"] (array)');
    expect(shownSafely(schema, ['many'], [{ token: 'hunter2' }])).to.equal('a list of 1');
    expect(shownSafely(schema, ['keys'], ['hunter2'])).to.equal('a list of 1');
    expect(shownSafely(schema, ['plain'], {})).to.equal('an empty object');
  });
});
