import { networkSuite } from './network/context.js';
import { initContract } from './network/init.js';
import { leaseContract } from './network/leases.js';
import { livePortContract } from './network/live-ports.js';
import { nicContract } from './network/nics.js';
import type { NetworkContract } from './network/types.js';

export type * from './network/types.js';

/** What every network plugin must do: src/core/network.ts, as tests. */
export function networkContract(contract: NetworkContract): void {
  const suite = networkSuite(contract);
  suite.describe(`NetworkBackend contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    for (const part of [initContract, leaseContract, nicContract, livePortContract]) part(suite, contract);
  });
}
