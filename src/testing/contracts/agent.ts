import { connectContract } from './agent/connect.js';
import { containerContract } from './agent/containers.js';
import { agentSuite } from './agent/context.js';
import { endContract } from './agent/ends.js';
import { networkContract } from './agent/network.js';
import { processContract } from './agent/processes.js';
import { sessionContract } from './agent/session.js';
import type { AgentContract } from './agent/types.js';

export * from './agent/types.js';

const PARTS = [connectContract, sessionContract, processContract, networkContract, containerContract, endContract];

/** What every agent plugin must do: src/core/agent.ts, as tests. */
export function agentContract(contract: AgentContract): void {
  const suite = agentSuite(contract);
  suite.describe(`GuestAgent contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    for (const part of PARTS) part(suite, contract);
  });
}
