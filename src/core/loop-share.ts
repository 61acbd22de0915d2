/** A turn of the event loop that has lasted so long is not made longer. */
const LONG_MS = 4;

/**
 * Steps of many calls at once, one after the other with turns of the event loop between them: what comes from the kernel for
 * all of them in one turn (eight requests, eight files read) would else be worked off within it, and everybody else waits.
 */
export class LoopShare {
  readonly #waiting: (() => void)[] = [];
  /** When the turn began, as far as it is known; undefined: nobody has asked in it. */
  #since: number | undefined;

  /** @param now in milliseconds. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Resolves in a turn that is not long yet: at once where this one is not and nobody waits. */
  take(): Promise<void> {
    if (this.#since === undefined) this.#begin();
    else if (this.#waiting.length > 0 || this.now() - this.#since > LONG_MS) {
      return new Promise((resolve) => this.#waiting.push(resolve));
    }
    return Promise.resolve();
  }

  #begin(): void {
    this.#since = this.now();
    setImmediate(() => {
      this.#since = undefined;
      const first = this.#waiting.shift();
      if (!first) return;
      this.#begin();
      first();
    });
  }
}

/** Of this thread's event loop. */
export const loopShare = new LoopShare();
