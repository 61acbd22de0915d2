import type { NetworkBackend, NetworkCapabilities, NetworkSpec } from '../../../core/network.js';
import type { ContractTimeouts } from '../../kit/timeouts.js';
import type { ContractOptions } from '../../runner.js';

export interface NetworkContract
  extends Pick<ContractOptions<NetworkBackend>, 'runner' | 'label' | 'create' | 'dispose'> {
  /** The plugin's declaration. */
  readonly capabilities: NetworkCapabilities;
  /**
   * Networks that the suite may make and remove: valid ones, the second only with multipleNetworks. For a quick run give
   * the first an IPv4 subnet of /24 to /29.
   */
  readonly networks: readonly [NetworkSpec, ...NetworkSpec[]];
  readonly host?: {
    /**
     * What the host has now of what this backend makes, in words (links, rules, files, sockets); asked when everything was
     * detached, released and torn down.
     */
    leftovers?(): Promise<readonly string[]> | readonly string[];
    /** What it has after detach(), the networks still being up: taps, ports, rules of NICs. Default: nothing is asked. */
    nicLeftovers?(): Promise<readonly string[]> | readonly string[];
    /** After a test that failed: removes what is left. */
    reap?(): Promise<void> | void;
  };
  /** Changes the first network behind the backend's back, so that its status drifts. */
  readonly tamper?: () => Promise<void> | void;
  /** Each makes the next call fail on its way, after it has made something. */
  readonly inject?: {
    init?(backend: NetworkBackend): Promise<void> | void;
    attach?(backend: NetworkBackend): Promise<void> | void;
  };
  /** False: that a host port is taken by another program shows only at the hypervisor. Default true. */
  readonly checksPorts?: boolean;
  /** How often an address is given and taken, to see that none is lost. Default 300. */
  readonly rounds?: number;
  readonly timeouts?: Partial<ContractTimeouts>;
}
