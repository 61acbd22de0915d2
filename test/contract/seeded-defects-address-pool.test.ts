import { expect } from 'chai';
import { addressPoolContract } from '../../src/testing/contracts/address-pool.js';
import { FakeAddressPool } from '../../src/testing/fakes/address-pool.js';
import { addressPoolDefects, type FakeAddressPoolClass } from '../../src/testing/fakes/address-pool-defects.js';
import { recordSuite } from '../../src/testing/recording-runner.js';
import { ADDRESS_POOL_FAILURES } from './defects/address-pool.js';

function resultsOf(Pool: FakeAddressPoolClass) {
  return recordSuite((runner) =>
    addressPoolContract({
      runner,
      capabilities: new FakeAddressPool({ durable: true }).capabilities,
      create: () => new Pool({ durable: true }),
      attach: (pool) => new Pool({ durable: true, medium: (pool as FakeAddressPool).medium }),
      failNextWrite: (pool) => {
        (pool as FakeAddressPool).medium.failNextWrite = true;
      },
    }),
  );
}

describe('seeded defects of an address pool', function () {
  this.timeout(120_000);

  it('are at least ten, each with its expectation', () => {
    expect(Object.keys(addressPoolDefects)).to.have.members(Object.keys(ADDRESS_POOL_FAILURES));
    expect(Object.keys(ADDRESS_POOL_FAILURES)).to.have.length.above(9);
  });

  it('none: the fake passes', async () => {
    const results = await resultsOf(FakeAddressPool);
    expect(results).to.have.length.above(50);
    expect(results.filter(({ passed }) => !passed)).to.deep.equal([]);
  });

  for (const [name, Pool] of Object.entries(addressPoolDefects)) {
    it(`${name}: exactly the tests that are meant to fail do`, async () => {
      const { families, tests } = ADDRESS_POOL_FAILURES[name] as (typeof ADDRESS_POOL_FAILURES)[string];
      const failed = (await resultsOf(Pool)).filter(({ passed }) => !passed);
      const expected = families.flatMap((family) => tests.map((test) => `IPv${family}: ${test}`));
      expect(failed.map((result) => `${result.path[1]}: ${result.name}`)).to.deep.equal(expected);
    });
  }
});
