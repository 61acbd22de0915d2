import { expect } from 'chai';
import fc from 'fast-check';
import { quantile, ratios, summarise } from '../../../bench/harness/statistics.js';

describe('statistics of benchmarks', () => {
  it('takes quantiles between the two values around the place', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).to.equal(2.5);
    expect(quantile([1, 2, 3, 4, 5], 0.25)).to.equal(2);
    expect(quantile([7], 0.75)).to.equal(7);
    expect(quantile([], 0.5)).to.be.NaN;
  });

  it('summarises whatever the order of the values', () => {
    expect(summarise([5, 1, 4, 2, 3])).to.deep.equal({ median: 3, low: 2, high: 4, min: 1, max: 5 });
    const finite = fc.double({ noNaN: true, min: -1e15, max: 1e15 });
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1 }), (values) => {
        const { min, low, median, high, max } = summarise(values);
        return min <= low && low <= median && median <= high && high <= max;
      }),
    );
  });

  it('divides round by round, as far as both have rounds', () => {
    expect(ratios([2, 9, 8], [1, 3])).to.deep.equal([2, 3]);
  });
});
