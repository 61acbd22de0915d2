const SLOW_MS = 10;
const RETREAT_MS = 250;

/**
 * Whether the kernel answers at once, as it does unless somebody keeps one of its locks: after an answer that took long, work
 * goes by the thread pool for a while, and the event loop is not held up again.
 */
export class KernelPace {
  #until = 0;

  get isQuick(): boolean {
    return this.#until === 0 || performance.now() >= this.#until;
  }

  /** Runs a call that the kernel does its work in. */
  measured<T>(call: () => T): T {
    const started = performance.now();
    try {
      return call();
    } finally {
      const ended = performance.now();
      this.#until = ended - started > SLOW_MS ? ended + RETREAT_MS : 0;
    }
  }
}
