import { commandContract } from './hyperplug/commands.js';
import { hyperplugSuite } from './hyperplug/context.js';
import { networksContract, podNetworkContract } from './hyperplug/network.js';
import { podContract } from './hyperplug/pods.js';
import { poolContract } from './hyperplug/pool.js';
import { templatesContract } from './hyperplug/templates.js';
import type { HyperplugContract } from './hyperplug/types.js';

export type { HyperplugBench, HyperplugContract } from './hyperplug/types.js';

/**
 * The contract of Hyperplug, Pods, Pod and Networks: the engine in one's own process and a client of the daemon keep it
 * alike. It takes whole configurations, so that it also tells whether plugins go together.
 */
export function hyperplugContract(contract: HyperplugContract): void {
  const suite = hyperplugSuite(contract);
  suite.describe(`Hyperplug contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    podContract(suite, contract);
    commandContract(suite, contract);
    podNetworkContract(suite, contract);
    networksContract(suite, contract);
    templatesContract(suite, contract);
    poolContract(suite, contract);
  });
}
