import { adoptContract } from './hypervisor/adopt.js';
import { hypervisorSuite } from './hypervisor/context.js';
import { forwardContract } from './hypervisor/forwards.js';
import { launchContract } from './hypervisor/launch.js';
import { lifeContract } from './hypervisor/life.js';
import { nicContract } from './hypervisor/nics.js';
import { stateContract } from './hypervisor/states.js';
import type { HypervisorContract } from './hypervisor/types.js';

export type * from './hypervisor/types.js';

/** What every hypervisor plugin must do: src/core/hypervisor.ts, as tests. */
export function hypervisorContract(contract: HypervisorContract): void {
  const suite = hypervisorSuite(contract);
  suite.describe(`HypervisorDriver contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    for (const part of [launchContract, lifeContract, nicContract, forwardContract, adoptContract, stateContract]) {
      part(suite, contract);
    }
  });
}
