import { adoptContract } from './hypervisor/adopt.js';
import { channelContract } from './hypervisor/channels.js';
import { hypervisorSuite } from './hypervisor/context.js';
import { forwardContract } from './hypervisor/forwards.js';
import { launchContract } from './hypervisor/launch.js';
import { lifeContract } from './hypervisor/life.js';
import { nicContract } from './hypervisor/nics.js';
import { stateContract } from './hypervisor/states.js';
import { storageContract } from './hypervisor/storage.js';
import { templateContract } from './hypervisor/templates.js';
import type { HypervisorContract } from './hypervisor/types.js';

export type * from './hypervisor/types.js';

const PARTS = [
  launchContract,
  storageContract,
  lifeContract,
  channelContract,
  nicContract,
  forwardContract,
  adoptContract,
  templateContract,
  stateContract,
];

/** What every hypervisor plugin must do: src/core/hypervisor.ts, as tests. */
export function hypervisorContract(contract: HypervisorContract): void {
  const suite = hypervisorSuite(contract);
  suite.describe(`HypervisorDriver contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    for (const part of PARTS) part(suite, contract);
  });
}
