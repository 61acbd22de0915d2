import type { Firewall, FirewallCapabilities } from '../../../core/firewall.js';
import type { TransportProtocol } from '../../../core/network.js';
import type { ContractTimeouts } from '../../kit/timeouts.js';
import type { ContractOptions } from '../../runner.js';

/** Changes behind the firewall's back, made by somebody else's program. */
export interface FirewallTampering {
  /** Removes one rule of ours; duplicates one of ours. */
  removeOne(): Promise<void> | void;
  duplicateOne(): Promise<void> | void;
  /** Removes all rules of ours, as a restart of another firewall does. */
  flush(): Promise<void> | void;
  /** Adds a rule that bears our mark and belongs to no network that is known. */
  addForeign(): Promise<void> | void;
  /** Adds a rule of other people's, without our mark, amid the others; the returned function removes it. */
  addOthers(): Promise<() => Promise<void> | void> | (() => Promise<void> | void);
}

export interface FirewallContract extends Pick<ContractOptions<Firewall>, 'runner' | 'label' | 'create' | 'dispose'> {
  /** The plugin's declaration. */
  readonly capabilities: FirewallCapabilities;
  /** Names of bridges for two networks; they need not exist unless the firewall needs them to. Default hpc0, hpc1. */
  readonly bridges?: readonly [string, string];
  /**
   * Every rule there is, in order, ours and others': asked of the operating system (iptables-save, nft), never of the
   * firewall. What comes and goes by itself (counters) is left out. A test must leave it as it was.
   */
  rules(): Promise<readonly string[]> | readonly string[];
  readonly tamper?: FirewallTampering;
  /** Where the rules send a connection to this port of the host. */
  translate?(
    protocol: TransportProtocol,
    hostAddress: string,
    hostPort: number,
  ): Promise<{ readonly address: string; readonly port: number } | undefined>;
  /** Makes the kernel refuse the next change of rules. */
  readonly inject?: { refuse?(firewall: Firewall): Promise<void> | void };
  readonly timeouts?: Partial<ContractTimeouts>;
}
