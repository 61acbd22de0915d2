import type { UserCallOptions } from '../calls.js';

/** What a template is made as; what is missing is what a pod gets that says nothing (configuration `pods`). */
export interface TemplateInput {
  /** `[a-z0-9][a-z0-9-]{0,40}`; `auto` and `none`, and what begins with `auto-`, are not for users. */
  readonly name: string;
  readonly memoryMib?: number;
  readonly cpus?: number;
  /** NICs that a pod made from it can have at once. Default: pods.nicSlots and one more. */
  readonly nicSlots?: number;
  /** Absolute paths, in place of those of the configuration (`guest.kernel`, `guest.initramfs`). */
  readonly kernel?: string;
  readonly initramfs?: string;
}

/**
 * `fresh`: pods can be made from it. `stale`: it was saved by another hypervisor, kernel or agent than there is now, or by
 * another configuration; it is made anew before it is used. `unreadable`: its files are not whole.
 */
export type TemplateState = 'fresh' | 'stale' | 'unreadable';

export interface TemplateStatus {
  readonly name: string;
  readonly state: TemplateState;
  /** Why it is not fresh; null: it is. */
  readonly why: string | null;
  /** Made by itself, because pods asked for `template: auto`. */
  readonly automatic: boolean;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly nicSlots: number;
  readonly hypervisor: string;
  /** The guest image, for people. */
  readonly image: string;
  /** The agent in it, for people. */
  readonly agent: string;
  /** On disk; memory that was never used takes none. */
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly directory: string;
}

/** VMs that were booted once, and that pods go on from. See docs/templates.md. */
export interface Templates {
  /**
   * Boots a VM until its agent is ready, saves it, and sees that a clone of it answers. All or nothing.
   * @throws NOT_SUPPORTED the hypervisor or the agent cannot; TEMPLATE_INVALID, TEMPLATE_EXISTS (without `replace`); the
   * plugins' codes.
   */
  create(template: TemplateInput, options?: UserCallOptions & { readonly replace?: boolean }): Promise<TemplateStatus>;
  list(options?: UserCallOptions): Promise<readonly TemplateStatus[]>;
  /** @throws TEMPLATE_NOT_FOUND. */
  inspect(name: string, options?: UserCallOptions): Promise<TemplateStatus>;
  /** Pods that were made from it run on. @throws TEMPLATE_NOT_FOUND. */
  remove(name: string, options?: UserCallOptions): Promise<void>;
}

export interface PoolMember {
  readonly id: string;
  readonly pid: number;
  /** What it is a clone of. */
  readonly template: string;
  readonly memoryMib: number;
  readonly since: string;
}

export interface PoolStatus {
  /** Clones that it keeps ready; 0: it is empty, and stays so. */
  readonly size: number;
  readonly ready: readonly PoolMember[];
  /** Being made just now. */
  readonly making: number;
  /** What the memory of its clones may come to together. */
  readonly totalMib: number;
  /** Pods that have taken a clone, since the process that has the pool began. */
  readonly claims: number;
  /** Pods that would have, and found none ready. */
  readonly misses: number;
  /** Why it is not full, in words: the last attempt failed; null: it did not, or was not made. */
  readonly failure: string | null;
}

/**
 * Clones that run and wait for pods: a pod that fits takes one instead of booting. They are of the process that has the
 * pool, the daemon or a program with the SDK, and go with it.
 */
export interface Pool {
  status(options?: UserCallOptions): Promise<PoolStatus>;
  /**
   * Keeps `size` clones ready from now on (default: the configuration's `pool.size`); resolves when they are there, or no
   * more are allowed by `pool.totalMib`.
   * @throws NOT_SUPPORTED; what making a template or a clone of it throws. It goes on trying until drain().
   */
  fill(options?: UserCallOptions & { readonly size?: number }): Promise<PoolStatus>;
  /** Ends all clones and makes no more, until fill(). */
  drain(options?: UserCallOptions): Promise<PoolStatus>;
}
