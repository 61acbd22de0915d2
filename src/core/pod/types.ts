import type { UserCallOptions } from '../calls.js';
import type { Diagnosis } from '../diagnosis.js';
import type { GcReport } from '../gc/types.js';
import type { PortMapping } from '../network.js';
import type { Pool, Templates } from '../template/types.js';
import type { Networks } from './network-types.js';
import type { PodNic, PodRoute } from './nic-types.js';
import type { Pod } from './pod-types.js';
import type { Pods } from './pods-api.js';
import type { PodSpecInput } from './spec.js';

export type * from '../template/types.js';
export type * from './exec/types.js';
export type * from './files/types.js';
export type * from './network-types.js';
export type * from './nic-types.js';
export type * from './pod-types.js';

export const POD_STATES = [
  'creating',
  'created',
  'starting',
  'running',
  'paused',
  'stopping',
  'exited',
  'failed',
  'removing',
] as const;

/**
 * `creating`, `starting`, `stopping`, `removing`: a process is at it. `created`: it has not run yet. `exited`: its VM ended
 * as it was told to, or the guest powered off. `failed`: its VM died, or the process that was at it did.
 */
export type PodState = (typeof POD_STATES)[number];

/** `boot`: its VM booted for it; `template`: it goes on from one that was saved; `pool`: it was running and waiting. */
export interface PodOrigin {
  readonly from: 'boot' | 'template' | 'pool';
  readonly template: string | null;
}

export interface PodStatus {
  readonly id: string;
  readonly state: PodState;
  readonly createdAt: string;
  readonly hypervisor: string;
  readonly network: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly pid: number | null;
  readonly keep: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly ports: readonly PortMapping[];
  readonly nics: readonly PodNic[];
  /** Those that we set, from the record. */
  readonly routes: readonly PodRoute[];
  readonly consoleLogPath: string;
  /** How its VM came to be, last; null: it has not run. */
  readonly origin: PodOrigin | null;
}

/** What the command line and the SDK hold; made by createHyperplug(). */
export interface Hyperplug {
  readonly networks: Networks;
  /** Pods with a life of their own: they end when they are told to, and can be started again. */
  readonly pods: Pods;
  readonly templates: Templates;
  readonly pool: Pool;
  /** Creates and starts a pod; on rejection nothing remains. @throws POD_SPEC_INVALID, POD_ALREADY_EXISTS and the plugins' codes. */
  createPod(spec: PodSpecInput, options?: UserCallOptions): Promise<Pod>;
  /** Takes hold of a kept pod. @throws POD_NOT_FOUND, POD_NOT_RUNNING, POD_BUSY. */
  openPod(id: string, options?: UserCallOptions): Promise<Pod>;
  listPods(options?: UserCallOptions): Promise<readonly PodStatus[]>;
  /** @throws POD_NOT_FOUND; POD_BUSY when another process holds it, unless `force`. */
  removePod(id: string, options?: UserCallOptions & { readonly force?: boolean }): Promise<void>;
  /** Builds the guest image if need be and starts the plugins; createPod does it by itself. */
  prepare(options?: UserCallOptions): Promise<void>;
  /**
   * Finishes or undoes what dead processes left, removes what is ours and belongs to nothing, and touches nothing else. Any
   * number of processes may do it at once, beside whatever else runs. What fails is a finding, not an error.
   */
  gc(options?: UserCallOptions & { readonly dryRun?: boolean }): Promise<GcReport>;
  diagnose(options?: UserCallOptions): Promise<readonly Diagnosis[]>;
  /** Stops the plugins. Pods that are still held are removed, kept ones released. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
