import type { UserCallOptions } from '../calls.js';
import type { VmExit } from '../hypervisor.js';
import type { JsonValue } from '../json.js';
import type { Pod, PodStatus } from './types.js';

/** A container of a pod: a process in namespaces of its own in the guest, with a root of its own. */
export interface ContainerStatus {
  readonly id: string;
  readonly name: string;
  /** What its root was made of, as the spec says it; null: the guest's own. */
  readonly image: string | null;
  readonly state: 'created' | 'running' | 'exited';
  readonly exitCode: number | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

/** A pod as it was asked for, and as it is. */
export interface PodDetails extends PodStatus {
  readonly hostname: string;
  /** As parsed, with every default filled in; it can be given to create() again. */
  readonly spec: JsonValue;
  readonly containers: readonly ContainerStatus[];
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** How its VM ended, last; null: it runs, or has not run. */
  readonly exit: VmExit | null;
  /** Why it is `failed`, in words. */
  readonly failure: string | null;
}

/** Counters since the start of what they count; a reader makes rates of two readings. */
export interface PodStats {
  readonly time: string;
  /** Of the hypervisor's processes, as the host's kernel tells. */
  readonly host: {
    readonly cpuMs: number;
    /** Proportional set size: shared pages are counted by parts. */
    readonly memoryPssBytes: number;
  };
  /** As the guest tells, which may lie; null: its agent cannot. */
  readonly guest: {
    readonly uptimeMs: number;
    readonly cpuMs: number;
    readonly memoryTotalBytes: number;
    readonly memoryAvailableBytes: number;
    readonly processes: number;
  } | null;
  readonly nics: readonly {
    readonly id: string;
    readonly receivedBytes: number;
    readonly receivedPackets: number;
    readonly sentBytes: number;
    readonly sentPackets: number;
  }[];
}

export type PodEventType =
  | 'created'
  | 'started'
  | 'paused'
  | 'resumed'
  /** The VM ended as it was told to, or the guest powered off. */
  | 'exited'
  /** The VM died, or the start did not succeed. */
  | 'failed'
  | 'removed'
  | 'container-started'
  | 'container-exited'
  | 'nic-added'
  | 'nic-changed'
  | 'nic-removed'
  | 'port-published'
  | 'port-withdrawn';

export interface PodEvent {
  /** Grows by one with each event of a state directory; never used again. */
  readonly sequence: number;
  readonly time: string;
  readonly pod: string;
  readonly type: PodEventType;
  /** By type: `{ exit }`, `{ failure }`, `{ container, exitCode }`, `{ nic }`, `{ port }`; else empty. */
  readonly data: Readonly<Record<string, JsonValue>>;
}

export interface EventOptions {
  readonly signal?: AbortSignal;
  /** Of these pods alone. */
  readonly pods?: readonly string[];
  /** Those after this sequence, as far as they are still kept; without it: those from now on. */
  readonly since?: number;
  /** Go on as they happen; else end with the last that is there. */
  readonly follow?: boolean;
}

export interface LogOptions {
  readonly signal?: AbortSignal;
  /** Output of this container; without it: the guest's console. */
  readonly container?: string;
  /** Go on as it grows, until the pod ends. */
  readonly follow?: boolean;
  /** The last lines alone. */
  readonly tail?: number;
}

export interface PodFilter {
  readonly states?: readonly PodStatus['state'][];
  /** All of these, with these values. */
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Pods that have a life of their own: made, started, stopped and removed by whichever process. The engine and the
 * daemon's client implement it alike. Every method rejects with POD_NOT_FOUND, POD_SPEC_INVALID (id), ABORTED, TIMEOUT.
 */
export interface Pods {
  /**
   * Records the pod (`created`); nothing runs yet. All or nothing.
   * @throws POD_SPEC_INVALID with the field, POD_ALREADY_EXISTS.
   */
  create(spec: unknown, options?: UserCallOptions): Promise<PodDetails>;
  /**
   * Boots it; resolves when it runs as it was asked for. One that runs is no error. On rejection it is as before.
   * @throws POD_BUSY another process is at it; the plugins' codes.
   */
  start(id: string, options?: UserCallOptions): Promise<PodDetails>;
  /**
   * Ends its VM (the guest is asked first, for `graceMs`, default 10 s; 0: at once) and gives back all that it held but its
   * record, files and disks. One that does not run is no error.
   */
  stop(id: string, options?: UserCallOptions & { readonly graceMs?: number }): Promise<PodDetails>;
  /** Idempotent. @throws POD_NOT_RUNNING, NOT_SUPPORTED. */
  pause(id: string, options?: UserCallOptions): Promise<PodDetails>;
  resume(id: string, options?: UserCallOptions): Promise<PodDetails>;
  /** Resolves when its VM has ended (at once, where none runs), or it was removed. No deadline but `timeoutMs`. */
  wait(id: string, options?: UserCallOptions): Promise<PodDetails>;
  list(options?: UserCallOptions & { readonly filter?: PodFilter }): Promise<readonly PodStatus[]>;
  inspect(id: string, options?: UserCallOptions): Promise<PodDetails>;
  /** @throws POD_NOT_FOUND; POD_BUSY it runs, or another process holds it, unless `force`. */
  remove(id: string, options?: UserCallOptions & { readonly force?: boolean }): Promise<void>;
  /** Takes hold of a running one. @throws POD_NOT_RUNNING, POD_BUSY. */
  open(id: string, options?: UserCallOptions): Promise<Pod>;
  /** @throws POD_NOT_RUNNING. */
  stats(id: string, options?: UserCallOptions): Promise<PodStats>;
  /** Of all pods of this state directory, whichever process acts. */
  events(options?: EventOptions): AsyncIterable<PodEvent>;
  logs(id: string, options?: LogOptions): AsyncIterable<Uint8Array>;
}
