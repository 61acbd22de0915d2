import { expect } from 'chai';
import fc from 'fast-check';
import { BitmapPage, PAGE_BITS } from '../../../../src/core/ipam/bitmap-page.js';
import { offsetOf, placeOf, SparseBitmap } from '../../../../src/core/ipam/sparse-bitmap.js';

describe('BitmapPage', () => {
  it('finds the next clear bit as a plain search does', () => {
    const run = fc.tuple(fc.nat(PAGE_BITS - 1), fc.nat(3_000), fc.boolean());
    fc.assert(
      fc.property(fc.array(run, { maxLength: 12 }), fc.nat(PAGE_BITS - 1), fc.boolean(), (runs, from, full) => {
        const page = new BitmapPage();
        const model = new Uint8Array(PAGE_BITS);
        const put = (start: number, length: number, on: boolean) => {
          for (let bit = start; bit < Math.min(start + length, PAGE_BITS); bit++) {
            if ((on ? page.set(bit) : page.clear(bit)) !== (model[bit] === (on ? 0 : 1))) throw new Error(`bit ${bit}`);
            model[bit] = on ? 1 : 0;
          }
        };
        if (full) put(0, PAGE_BITS, true);
        for (const [start, length, on] of runs) put(start, length, on);
        expect(page.nextClear(from)).to.equal(model.indexOf(0, from));
        expect(page.nextClear(0)).to.equal(model.indexOf(0));
        expect(page.full).to.equal(!model.includes(0));
        expect(page.empty).to.equal(!model.includes(1));
        expect(page.has(from)).to.equal(model[from] === 1);
      }),
      { numRuns: 60 },
    );
  });
});

describe('SparseBitmap', () => {
  it('places every offset of 64 bits exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (offset) => {
        expect(offsetOf(placeOf(offset))).to.equal(offset);
      }),
    );
  });

  it('crosses runs of full pages by the levels above, and comes back when one opens', () => {
    const bitmap = new SparseBitmap(8);
    const fill = (page: number) => {
      for (let bit = 0; bit < PAGE_BITS; bit++) bitmap.set(page, bit);
    };
    for (const page of [0, 1, 2, 4, 5, 6, 7]) fill(page);
    expect(bitmap.nextClear(0, 5)).to.deep.equal({ page: 3, bit: 0 });
    expect(bitmap.nextClear(4, 0)).to.equal(undefined);
    fill(3);
    expect(bitmap.nextClear(0, 0)).to.equal(undefined);
    expect(bitmap.clear(6, 77)).to.equal(true);
    expect(bitmap.clear(6, 77)).to.equal(false);
    expect(bitmap.nextClear(0, 0)).to.deep.equal({ page: 6, bit: 77 });
    expect(bitmap.set(6, 77)).to.equal(true);
    expect(bitmap.set(6, 77)).to.equal(false);
    expect(bitmap.nextClear(0, 0)).to.equal(undefined);
    expect(bitmap.has(6, 77)).to.equal(true);
    expect(bitmap.clear(9, 0)).to.equal(false);
  });
});
