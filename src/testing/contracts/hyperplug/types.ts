import type { Hyperplug } from '../../../core/pod/types.js';
import type { ContractTimeouts } from '../../kit/timeouts.js';
import type { ContractRunner } from '../../runner.js';
import type { AgentPrograms } from '../agent/types.js';

/** An engine on a machine of a test's own, in whichever way. */
export interface HyperplugBench {
  readonly hyperplug: Hyperplug;
  /** Another one on the same machine and state, as another process (or another client) has it; the suite closes it. */
  another(): Promise<Hyperplug>;
  /** Ends the VM of a running pod from outside, as kill -9 does. */
  killVm(podId: string): Promise<void>;
  /** What the machine has of pods, in words, asked of it and not of the engine. */
  leftovers(): Promise<readonly string[]> | readonly string[];
  /** After the engine was closed. */
  dispose(): Promise<void> | void;
}

export interface HyperplugContract {
  readonly runner: ContractRunner;
  readonly label?: string;
  /** For each test. */
  create(): Promise<HyperplugBench>;
  /** What the guests can run; default: POSIX_PROGRAMS. */
  readonly programs?: AgentPrograms;
  /** Configured networks: the default one, and another if there is one. */
  readonly networks: readonly [string, ...string[]];
  /** What this configuration cannot do; those tests are shown as skipped. */
  readonly lacks?: {
    readonly hotplugNic?: boolean;
    readonly publish?: boolean;
    readonly pause?: boolean;
    readonly networkTeardown?: boolean;
    /** The hypervisor does not declare snapshot. */
    readonly templates?: boolean;
  };
  /** Bytes that go through commands in the tests of much data. Default 4 MiB. */
  readonly muchBytes?: number;
  readonly timeouts?: Partial<ContractTimeouts>;
}
