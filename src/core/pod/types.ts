import type { ExecExit, GuestNic, GuestProcess, TerminalSize } from '../agent.js';
import type { UserCallOptions } from '../calls.js';
import type { Diagnosis } from '../diagnosis.js';
import type { VmExit } from '../hypervisor.js';
import type { AddressLease, PortMapping } from '../network.js';

/** `creating` and `removing` are seen only from other processes, or after one died in the middle. */
export type PodState = 'creating' | 'running' | 'exited' | 'removing';

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
  readonly consoleLogPath: string;
}

export interface PodNic {
  readonly id: string;
  readonly mac: string;
  readonly lease: AddressLease;
  readonly ports: readonly PortMapping[];
  /** What the guest said it has; undefined where the agent cannot read back. */
  readonly guest?: GuestNic;
}

export interface ExecRequest {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  readonly user?: string;
  readonly terminal?: boolean;
  readonly size?: TerminalSize;
}

/** A running pod that this process holds. */
export interface Pod {
  readonly id: string;
  readonly nics: readonly PodNic[];
  readonly consoleLogPath: string;
  /** Resolves once, when its VM has exited. */
  readonly exited: Promise<VmExit>;
  exec(request: ExecRequest, options?: UserCallOptions): Promise<GuestProcess>;
  /** Runs to the end and collects output, at most `maxBytes` (default 64 MiB) of each stream. */
  run(
    request: ExecRequest & { readonly input?: Uint8Array | string },
    options?: UserCallOptions,
  ): Promise<ExecExit & { readonly stdout: Buffer; readonly stderr: Buffer }>;
  writeFile(path: string, content: Uint8Array, options?: UserCallOptions): Promise<void>;
  readFile(path: string, options?: UserCallOptions): Promise<Buffer>;
  /** Ends the VM and undoes all that was made for it. Idempotent. */
  remove(options?: UserCallOptions): Promise<void>;
  /** Lets go of a kept pod: it runs on. @throws NOT_SUPPORTED for one that was not created with `keep`. */
  release(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What the command line and the SDK hold; made by createHyperplug(). */
export interface Hyperplug {
  /** Creates and starts a pod; on rejection nothing remains. @throws POD_SPEC_INVALID, POD_ALREADY_EXISTS and the plugins' codes. */
  createPod(spec: unknown, options?: UserCallOptions): Promise<Pod>;
  /** Takes hold of a kept pod. @throws POD_NOT_FOUND, POD_NOT_RUNNING, POD_BUSY. */
  openPod(id: string, options?: UserCallOptions): Promise<Pod>;
  listPods(options?: UserCallOptions): Promise<readonly PodStatus[]>;
  /** @throws POD_NOT_FOUND; POD_BUSY when another process holds it, unless `force`. */
  removePod(id: string, options?: UserCallOptions & { readonly force?: boolean }): Promise<void>;
  /** Builds the guest image if need be and starts the plugins; createPod does it by itself. */
  prepare(options?: UserCallOptions): Promise<void>;
  diagnose(options?: UserCallOptions): Promise<readonly Diagnosis[]>;
  /** Stops the plugins. Pods that are still held are removed, kept ones released. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
