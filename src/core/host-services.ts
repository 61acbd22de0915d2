import type { CallOptions } from './calls.js';
import type { ProcessIdentity } from './hypervisor.js';

export interface HeldLock extends AsyncDisposable {
  /** Idempotent. `remove`: the lock's file goes too, which is safe while the lock is held. */
  release(options?: { readonly remove?: boolean }): Promise<void>;
}

export interface ProcessUsage {
  readonly cpuMs: number;
  /** Proportional set size: shared pages are counted by parts. */
  readonly memoryPssBytes: number;
}

/** What core needs of the operating system beyond files; the composition root gives the real one, tests a fake. */
export interface HostServices {
  /**
   * Where VMs run that this process starts, by a name that nothing else ever has; what it names may end before them, and then
   * they are out of reach. Undefined: on the machine itself.
   */
  readonly session?: string;
  /** This process. */
  self(): Promise<ProcessIdentity>;
  /** Whether that very process lives, and not a later one of its pid. */
  alive(identity: ProcessIdentity): Promise<boolean>;
  /** Resolves when that very process has ended. @throws TIMEOUT, ABORTED. */
  gone(identity: ProcessIdentity, options: CallOptions): Promise<void>;
  /** Of that process, since it began. Zeros: it is gone. */
  usage(identity: ProcessIdentity): Promise<ProcessUsage>;
  /**
   * A lock that the kernel releases when this process dies; `shared`: with others that ask for it shared.
   * @throws TIMEOUT or ABORTED by the signal, with the holder in the message.
   */
  lock(path: string, purpose: string, signal: AbortSignal, options?: { readonly shared?: boolean }): Promise<HeldLock>;
  /**
   * Called before a pod's VM comes to be. What this process has begun of one for it stays only if that is of this driver, and in
   * this place; `driver`: undefined where none launches it.
   */
  confirmAhead?(
    pod: { readonly id: string; readonly runDir: string; readonly consoleLogPath: string },
    driver: string | undefined,
  ): Promise<void>;
}
