import assert from 'node:assert/strict';
import { callContract } from './address-pool/calls.js';
import { familySuite, poolSuite } from './address-pool/context.js';
import { networkContract } from './address-pool/networks.js';
import { PLANS } from './address-pool/plans.js';
import { releaseContract } from './address-pool/releases.js';
import { requestContract } from './address-pool/requests.js';
import { sharingContract } from './address-pool/sharing.js';
import type { AddressPoolContract } from './address-pool/types.js';

export type { AddressPoolContract } from './address-pool/types.js';

/** The contract of AddressPool. `create()` gives an empty pool; the suite starts and stops it. */
export function addressPoolContract(contract: AddressPoolContract): void {
  const suite = poolSuite(contract);
  suite.describe(`AddressPool contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    suite.check('declares its capabilities, frozen', async (pool) => {
      assert.deepEqual(pool.capabilities, contract.capabilities);
      assert.ok(Object.isFrozen(pool.capabilities));
      assert.match(pool.name, /^[a-z][a-z0-9-]*$/);
    });
    for (const plan of PLANS) {
      if (!contract.capabilities.families.includes(plan.family)) continue;
      suite.describe(`IPv${plan.family}`, () => {
        const family = familySuite(suite, plan);
        requestContract(family);
        releaseContract(family);
        networkContract(family);
        callContract(family, contract);
        if (contract.capabilities.durable) sharingContract(family);
      });
    }
  });
}
