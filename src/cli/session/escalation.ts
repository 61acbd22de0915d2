/** One step of ending a command: a signal, and how long it may take to have effect. */
export interface EndingStep {
  readonly signal: number;
  readonly waitMs: number;
}

/** Sends the signals one after the other until `stop`; calls `giveUp` when the last had no effect in its time either. */
export class Escalation {
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #begun = false;

  constructor(
    private readonly send: (signal: number) => void,
    private readonly giveUp: () => void,
  ) {}

  /** The first call counts. */
  begin(steps: readonly EndingStep[]): void {
    if (this.#begun || this.#stopped) return;
    this.#begun = true;
    this.#next(steps);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #next([step, ...rest]: readonly EndingStep[]): void {
    if (this.#stopped) return;
    if (!step) {
      this.giveUp();
      return;
    }
    this.send(step.signal);
    this.#timer = setTimeout(() => this.#next(rest), step.waitMs);
  }
}
