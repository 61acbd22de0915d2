import { callContract } from './state-store/calls.js';
import { storeSuite } from './state-store/context.js';
import { damagedContract } from './state-store/damaged.js';
import { keyContract } from './state-store/keys.js';
import { sharingContract } from './state-store/sharing.js';
import { transactionContract } from './state-store/transactions.js';
import type { StateStoreContract } from './state-store/types.js';
import { valueContract } from './state-store/values.js';

export type { StateStoreContract } from './state-store/types.js';

/** The contract of StateStore. `create()` gives an empty store; the suite starts and stops it. */
export function stateStoreContract(contract: StateStoreContract): void {
  const suite = storeSuite(contract);
  suite.describe(`StateStore contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    suite.describe('values', () => valueContract(suite, contract));
    suite.describe('keys', () => keyContract(suite));
    suite.describe('transactions', () => transactionContract(suite, contract));
    suite.describe('calls', () => callContract(suite));
    if (contract.capabilities.durable) suite.describe('sharing', () => sharingContract(suite, contract));
    const { damage } = contract;
    if (damage) suite.describe('damaged records', () => damagedContract(suite, damage));
  });
}
