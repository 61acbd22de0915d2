/** One finding of `hyperplug doctor`. */
export interface Diagnosis {
  /** Stable, dotted: `qemu.binary`, `qemu.kvm`. */
  readonly id: string;
  readonly status: 'ok' | 'warn' | 'fail';
  /** One line: what was tried and what was seen. */
  readonly summary: string;
  /** More lines, when there is more to say. */
  readonly detail?: string;
  /** What the user can do about it. */
  readonly fix?: string;
}
