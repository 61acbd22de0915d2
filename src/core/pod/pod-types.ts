import type { GuestProcess } from '../agent.js';
import type { UserCallOptions } from '../calls.js';
import type { VmExit } from '../hypervisor.js';
import type { ExecOptions, ExecRequest, PodProcess } from './exec/types.js';
import type { PodFiles } from './files/types.js';
import type { PodNics, PodPorts, PodRoutes } from './nic-types.js';
import type { EventOptions, LogOptions, PodDetails, PodEvent, PodEventType, PodStats } from './pods-api.js';

/**
 * A running pod that this process holds. Every call on one that is removed, released or stopped rejects with
 * POD_NOT_RUNNING; when its VM dies every waiting call rejects at once, with the reason.
 */
export interface Pod {
  readonly id: string;
  readonly nics: PodNics;
  readonly ports: PodPorts;
  readonly routes: PodRoutes;
  readonly files: PodFiles;
  readonly consoleLogPath: string;
  /** Resolves once, when its VM has exited. */
  readonly exited: Promise<VmExit>;
  /**
   * Runs a command; what comes back is its process and the promise of its result at once.
   * @throws POD_COMMAND_FAILED, TIMEOUT, ABORTED as an ExecError, unless `reject: false`; AGENT_EXEC_FAILED it could not be
   * started, AGENT_CLOSED or VM_EXITED; TypeError a wrong option, at once.
   */
  exec<const O extends ExecOptions = ExecOptions>(argv: readonly string[], options?: O): PodProcess<O>;
  /** The low level beneath exec(): no deadline, no collecting, no killing. Resolves when the program runs. */
  spawn(request: ExecRequest, options?: UserCallOptions): Promise<GuestProcess>;
  /** Its vCPUs stand still. Idempotent. @throws NOT_SUPPORTED */
  pause(options?: UserCallOptions): Promise<void>;
  resume(options?: UserCallOptions): Promise<void>;
  /** Ends its VM, the guest being asked first, for `graceMs` (default 10 s; 0: at once). Its record, files and disks stay. */
  stop(options?: UserCallOptions & { readonly graceMs?: number }): Promise<PodDetails>;
  /** Resolves when its VM has ended. No deadline but `timeoutMs`. */
  wait(options?: UserCallOptions): Promise<PodDetails>;
  /** As it was asked for, and as it is. */
  status(options?: UserCallOptions): Promise<PodDetails>;
  stats(options?: UserCallOptions): Promise<PodStats>;
  /** Its console's output, or a container's. */
  logs(options?: LogOptions): AsyncIterable<Uint8Array>;
  events(options?: Omit<EventOptions, 'pods'>): AsyncIterable<PodEvent>;
  /** Calls `listener` for each such event from now on; the returned function ends that. It must not throw. */
  on<T extends PodEventType>(type: T | '*', listener: (event: PodEvent & { readonly type: T }) => void): () => void;
  /** Resolves with the next event of this type. */
  once<T extends PodEventType>(type: T, options?: UserCallOptions): Promise<PodEvent & { readonly type: T }>;
  /** Ends the VM and undoes all that was made for it. Idempotent. */
  remove(options?: UserCallOptions): Promise<void>;
  /** Lets go of a kept pod: it runs on. @throws NOT_SUPPORTED for one that was not created with `keep`. */
  release(): Promise<void>;
  /** Releases a kept pod, and removes another one. */
  [Symbol.asyncDispose](): Promise<void>;
}
