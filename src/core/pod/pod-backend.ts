import type { FileTarget, GuestProcess } from '../agent.js';
import type { CallOptions } from '../calls.js';
import type { VmExit } from '../hypervisor.js';
import type { PortMapping } from '../network.js';
import type { ExecRequest } from './exec/types.js';
import type { NicInput, PortInput } from './interface-spec.js';
import type { NicChange, PodNic, PodRoute, PortSelector, RouteInput } from './nic-types.js';
import type { Pods } from './pods-api.js';

/** What is done to a pod by its id, also to one that this process holds. */
export type PodLife = Pick<Pods, 'pause' | 'resume' | 'stop' | 'wait' | 'inspect' | 'stats' | 'events' | 'logs'>;

/**
 * The way to a running pod that is held: in this process, or over the daemon's API. Users have a PodHandle on it, which
 * checks, fills defaults and sets deadlines; the rest is in pod-types.ts.
 */
export interface PodBackend {
  readonly id: string;
  readonly keep: boolean;
  readonly consoleLogPath: string;
  /** Where what this boot's guest has written begins in it, where that is known. */
  readonly consoleStart?: number;
  readonly exited: Promise<VmExit>;
  /** As known here, without asking. */
  readonly nics: readonly PodNic[];
  readonly life: PodLife;
  /** The environment is complete. @throws AGENT_EXEC_FAILED, AGENT_REFUSED, NOT_SUPPORTED no such container. */
  spawn(request: ExecRequest, call: CallOptions): Promise<GuestProcess>;
  writeFile(path: string, content: Uint8Array, call: CallOptions, target: FileTarget): Promise<void>;
  readFile(path: string, call: CallOptions, target: Pick<FileTarget, 'container'>): Promise<Buffer>;
  addNics(specs: readonly NicInput[], call: CallOptions): Promise<readonly PodNic[]>;
  removeNic(id: string, call: CallOptions): Promise<void>;
  updateNic(id: string, change: NicChange, call: CallOptions): Promise<PodNic>;
  readNics(call: CallOptions): Promise<readonly PodNic[]>;
  readRoutes(call: CallOptions): Promise<readonly PodRoute[]>;
  addRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void>;
  removeRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void>;
  publish(ports: readonly PortInput[], call: CallOptions): Promise<readonly PortMapping[]>;
  unpublish(ports: readonly PortSelector[], call: CallOptions): Promise<readonly PortMapping[]>;
  /** Ends the VM and undoes all; called once. */
  remove(call: CallOptions): Promise<void>;
  /** Lets go of it; called once. */
  release(): Promise<void>;
}
