import type { CallOptions } from '../calls.js';
import type { ProcessIdentity } from '../hypervisor.js';
import type { PodRecord } from '../pod/record.js';
import type { PodServices } from '../pod/services.js';

/** What the operating system tells, and a run without changes may ask. */
export interface GcHost {
  /** Who holds the lock at `path`, by its file; undefined: nobody. */
  lockHolder(path: string): ProcessIdentity | undefined;
  /** Live processes other than this one whose command line names this path. */
  processesNaming(path: string): readonly ProcessIdentity[];
}

export interface GcServices {
  readonly pods: PodServices;
  readonly host: GcHost;
  /** What a pod's record comes to, seen with what lives. `locked`: the pod's lock is ours. */
  look(record: PodRecord, locked?: boolean): Promise<PodVerdict>;
  /** Ends what a dead process had under way with a pod that runs no more. Its lock is held. */
  settle(record: PodRecord, call: CallOptions): Promise<void>;
  /** The same of the NICs of a pod that runs; takes its lock by itself. */
  settleNics(id: string, call: CallOptions): Promise<void>;
  /** Tells the backend its networks, so that it knows what is whose; makes nothing. */
  knowNetworks(call: CallOptions): Promise<void>;
}

export interface PodVerdict {
  /**
   * `lives`: its VM runs. `busy`: a process is at it. `rests`: it does not run, and holds nothing. `settle`: what a dead
   * process left of it is to be brought to its end.
   */
  readonly state: 'lives' | 'busy' | 'rests' | 'settle';
  readonly why: string;
  /** With `settle`: whether its record goes too. */
  readonly removes: boolean;
}
