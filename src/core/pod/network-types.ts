import type { UserCallOptions } from '../calls.js';
import type { NetworkStatus } from '../network.js';

/** A configured network, as it was found. */
export interface NetworkReport extends NetworkStatus {
  /** `absent`: nothing has been made of it yet, or it was torn down; the next pod makes it. */
  readonly state: 'ready' | 'drifted' | 'absent';
  /** The plugin whose network it is. */
  readonly backend: string;
  /** Ids of the pods that have a NIC in it, whatever their state. */
  readonly pods: readonly string[];
}

export interface NetworkRepair {
  readonly name: string;
  /** What differed before, in words; empty: nothing did. */
  readonly mended: readonly string[];
}

/** The configured networks. Without names: all of them. @throws NET_NOT_FOUND before anything is done. */
export interface Networks {
  /** Makes them ready, as createPod() does by itself. @throws NET_INIT_FAILED, FIREWALL_FAILED. */
  init(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkReport[]>;
  /** Looks, and changes nothing. */
  status(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkReport[]>;
  /**
   * Puts right what differs, and makes what is absent; published ports of running pods too.
   * @throws NET_INIT_FAILED something of others is in the way, or it still differs; FIREWALL_FAILED.
   */
  repair(names?: readonly string[], options?: UserCallOptions): Promise<readonly NetworkRepair[]>;
  /**
   * Removes what init() made. Idempotent; goes on past failures and reports all.
   * @throws NET_IN_USE before anything is removed: pods have NICs in it, unless `force`.
   */
  teardown(
    names?: readonly string[],
    options?: UserCallOptions & { readonly force?: boolean },
  ): Promise<readonly string[]>;
}
