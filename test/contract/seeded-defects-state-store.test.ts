import { expect } from 'chai';
import { type StateStoreContract, stateStoreContract } from '../../src/testing/contracts/state-store.js';
import { FakeStateStore } from '../../src/testing/fakes/state-store.js';
import { type FakeStateStoreClass, stateStoreDefects } from '../../src/testing/fakes/state-store-defects.js';
import { failedTests, recordSuite } from '../../src/testing/recording-runner.js';
import { STATE_STORE_FAILURES } from './defects/state-store.js';

const capabilities = { durable: true, multiProcess: true };

function failuresOf(Store: FakeStateStoreClass) {
  const contract: Omit<StateStoreContract, 'runner'> = {
    capabilities,
    create: () => new Store({ capabilities }),
    attach: (store) => new Store({ capabilities, medium: (store as FakeStateStore).medium }),
    damage: (store, key, how) => (store as FakeStateStore).medium.damage(key, how),
    failNextCommit: (store) => {
      (store as FakeStateStore).medium.failNextCommit = true;
    },
  };
  return recordSuite((runner) => stateStoreContract({ ...contract, runner }));
}

describe('seeded defects of a state store', function () {
  this.timeout(120_000);

  it('are at least ten, each with its expectation', () => {
    expect(Object.keys(stateStoreDefects)).to.have.members(Object.keys(STATE_STORE_FAILURES));
    expect(Object.keys(STATE_STORE_FAILURES)).to.have.length.above(9);
  });

  it('none: the fake passes', async () => {
    const results = await failuresOf(FakeStateStore);
    expect(results).to.have.length.above(20);
    expect(results.filter(({ passed }) => !passed)).to.deep.equal([]);
  });

  for (const [name, Store] of Object.entries(stateStoreDefects)) {
    it(`${name}: exactly the tests that are meant to fail do`, async () => {
      expect(failedTests(await failuresOf(Store))).to.deep.equal(STATE_STORE_FAILURES[name]);
    });
  }
});
