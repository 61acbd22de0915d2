import { firewallSuite } from './firewall/context.js';
import { driftContract } from './firewall/drift.js';
import { nullContract } from './firewall/null.js';
import { portContract } from './firewall/ports.js';
import { restrictionContract } from './firewall/restrictions.js';
import { ruleContract } from './firewall/rules.js';
import type { FirewallContract } from './firewall/types.js';

export type * from './firewall/types.js';

/** What every firewall plugin must do: src/core/firewall.ts, as tests. */
export function firewallContract(contract: FirewallContract): void {
  const suite = firewallSuite(contract);
  const parts = contract.capabilities.enforces
    ? [ruleContract, portContract, restrictionContract, driftContract]
    : [nullContract];
  suite.describe(`Firewall contract${contract.label ? `: ${contract.label}` : ''}`, () => {
    for (const part of parts) part(suite, contract);
  });
}
