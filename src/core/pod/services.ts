import type { GuestAgent } from '../agent.js';
import type { CallOptions } from '../calls.js';
import type { GuestImage } from '../guest-image.js';
import type { HostServices } from '../host-services.js';
import type { HypervisorDriver } from '../hypervisor.js';
import type { NetworkBackend, NetworkSpec } from '../network.js';
import type { ProgressSink } from '../progress.js';
import type { RootImageProvider } from '../rootfs.js';
import type { ClonePool, PodTemplates } from '../template/choice.js';
import type { PodStore } from './pod-store.js';
import type { PodDefaults } from './spec.js';

/** What pods are made of; the plugins in it have been started. */
export interface PodServices {
  readonly driver: HypervisorDriver;
  readonly backend: NetworkBackend;
  /**
   * Another hypervisor than `driver`, for the end of what it made. @throws PLUGIN_NOT_FOUND it is not known here. Missing:
   * none is.
   */
  readonly otherDriver?: (name: string, call: CallOptions) => Promise<HypervisorDriver>;
  readonly agent: GuestAgent;
  readonly store: PodStore;
  readonly host: HostServices;
  /** Roots and disks of pods; missing: pods have none. */
  readonly rootImages?: RootImageProvider;
  /** Missing: every pod boots. */
  readonly templates?: PodTemplates;
  readonly pool?: ClonePool;
  readonly progress?: ProgressSink;
  readonly image: (signal: AbortSignal | undefined) => Promise<GuestImage>;
  readonly directories: {
    /** Console logs; survives reboots. */
    readonly state: string;
    /** Sockets and locks; gone with a reboot. */
    readonly runtime: string;
  };
  readonly defaults: PodDefaults;
  /** From the hypervisor's launch until the guest's network is up. */
  readonly bootTimeoutMs: number;
  readonly kernelArgs: readonly string[];
  /** As they are configured. */
  readonly networks: readonly NetworkSpec[];
  /** These networks initialised, and what managers that died have left removed: before NICs of a pod that is started are made. */
  readonly prepareHost: (networks: readonly string[], options: CallOptions) => Promise<void>;
  /** Each once for this process: what looks at pods, runs commands in them and removes them goes without. */
  readonly initNetworks: (networks: readonly string[], options: CallOptions) => Promise<void>;
  /** Configured networks that are not made, and why; without it none. */
  readonly refusedNetworks?: ReadonlyMap<string, Error>;
}

export const podDirectories = (directories: PodServices['directories'], id: string) => ({
  run: `${directories.runtime}/pods/${id}`,
  data: `${directories.state}/pods/${id}`,
  consoleLog: `${directories.state}/pods/${id}/console.log`,
  lock: `${directories.runtime}/locks/${id}.lock`,
});
