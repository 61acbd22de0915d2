import { expect } from 'chai';
import fc from 'fast-check';
import { parseCpus, parseDurationMs, parseMemoryMib } from '../../../../src/cli/parse/quantities.js';
import { hasCode } from '../../../../src/core/errors.js';

const refused = (parse: () => unknown) => {
  try {
    parse();
  } catch (error) {
    return hasCode(error, 'CLI_USAGE');
  }
  return false;
};
const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9.]{0,8} ?[a-zA-Z]{0,3}$/));

describe('quantities on the command line', () => {
  it('memory is MiB, or has a unit', () => {
    const cases = {
      '512': 512,
      '512m': 512,
      '512M': 512,
      '512MiB': 512,
      '512mb': 512,
      '1g': 1024,
      '1.5G': 1536,
      '1t': 1048576,
    };
    for (const [given, mib] of Object.entries(cases)) expect(parseMemoryMib(given), given).to.equal(mib);
  });
  it('refuses what is no whole number of MiB', () => {
    for (const given of ['', '0', '-1', '1.5', '1.5m', '0.0001g', '512k', '1e3', '0x10', '1 2', 'm', 'Infinity']) {
      expect(
        refused(() => parseMemoryMib(given)),
        given,
      ).to.equal(true);
    }
  });
  it('a time is seconds, or has a unit', () => {
    const cases = {
      '30': 30_000,
      '30s': 30_000,
      '200ms': 200,
      '5m': 300_000,
      '1h': 3_600_000,
      '1.5h': 5_400_000,
      '0.5': 500,
    };
    for (const [given, ms] of Object.entries(cases)) expect(parseDurationMs(given), given).to.equal(ms);
  });
  it('refuses no time, and more than a timer can hold', () => {
    for (const given of ['', '0', '0s', '-5', '1d', '5 minutes', '1000h', '99999999999', '1m30s']) {
      expect(
        refused(() => parseDurationMs(given)),
        given,
      ).to.equal(true);
    }
  });
  it('CPUs are 1 to 255', () => {
    expect([parseCpus('1'), parseCpus('255')]).to.deep.equal([1, 255]);
    for (const given of ['0', '256', '-1', '1.5', '', 'two', '1e2'])
      expect(
        refused(() => parseCpus(given)),
        given,
      ).to.equal(true);
  });
  it('gives what can be used, or CLI_USAGE, for any text', () => {
    fc.assert(
      fc.property(text, (given) => {
        for (const [parse, max] of [
          [parseMemoryMib, Number.MAX_SAFE_INTEGER],
          [parseDurationMs, 2 ** 31 - 1],
          [parseCpus, 255],
        ] as const) {
          let value: number;
          try {
            value = parse(given);
          } catch (error) {
            if (!hasCode(error, 'CLI_USAGE')) throw error;
            continue;
          }
          expect(value).to.satisfy(Number.isSafeInteger).and.to.be.within(1, max);
        }
      }),
    );
  });
  it('a unit is a factor', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4096 }), (n) => {
        expect(parseMemoryMib(`${n}g`)).to.equal(parseMemoryMib(`${n * 1024}`));
        expect(parseDurationMs(`${n}s`)).to.equal(parseDurationMs(`${n * 1000}ms`));
      }),
    );
  });
});
