import { constants } from 'node:os';
import { HyperplugError } from '../core/errors.js';
import type { Io } from './deps.js';

/** Signals that ask a program to end: forwarded to the command while it runs. */
export const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
export type ForwardedSignal = (typeof FORWARDED)[number];

/** A second request within this time, or a third at any time, gives up on the command. */
const INSIST_WITHIN_MS = 3_000;
/** A wrapper (npx, a launcher) passes on a signal that the terminal has sent to us as well: it counts once. */
const ECHO_MS = 100;

export function signalNumber(signal: NodeJS.Signals): number {
  return constants.signals[signal];
}

/**
 * What signals do in each phase of a command: during set-up they abort it, while the command runs they are its own (until
 * the user insists), and while things are undone the first is answered with patience and the second ends us.
 */
export class Interrupts {
  readonly #controller = new AbortController();
  readonly #stop: (() => void)[];
  #phase: 'setup' | 'command' | 'teardown' = 'setup';
  #received: ForwardedSignal | undefined;
  #send: ((signal: ForwardedSignal) => void) | undefined;
  #giveUp: ((signal: ForwardedSignal) => void) | undefined;
  #count = 0;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly io: Pick<Io, 'onSignal' | 'exitNow'>,
    private readonly tell: (text: string) => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#stop = FORWARDED.map((signal) => io.onSignal(signal, () => this.#on(signal)));
  }

  /** Fires when the user interrupts the set-up, with ABORTED. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The signal that ended the set-up or made us give up. */
  get received(): ForwardedSignal | undefined {
    return this.#received;
  }

  /** From now on signals are the command's. Resolves, with the signal, when the user gives up on it. */
  forward(send: (signal: ForwardedSignal) => void): Promise<ForwardedSignal> {
    this.#phase = 'command';
    this.#send = send;
    return new Promise((resolve) => {
      this.#giveUp = (signal) => {
        this.#received = signal;
        this.teardown();
        resolve(signal);
      };
    });
  }

  /** From now on nothing is interrupted: it ends by itself, each step having a deadline. */
  teardown(): void {
    if (this.#phase === 'teardown') return;
    this.#phase = 'teardown';
    this.#count = 0;
  }

  dispose(): void {
    for (const stop of this.#stop) stop();
  }

  #on(signal: ForwardedSignal): void {
    const now = this.nowMs();
    const sinceMs = now - this.#lastMs;
    if (sinceMs < ECHO_MS) return;
    this.#lastMs = now;
    this.#count += 1;
    if (this.#phase === 'setup') {
      this.#received = signal;
      this.teardown();
      this.#controller.abort(new HyperplugError('ABORTED', `interrupted by ${signal}`, { details: { signal } }));
    } else if (this.#phase === 'command') {
      const insists = this.#count >= 3 || (this.#count === 2 && sinceMs <= INSIST_WITHIN_MS);
      if (insists) this.#giveUp?.(signal);
      else this.#send?.(signal);
    } else if (this.#count === 1) {
      this.tell('cleaning up; once more ends at once and leaves the rest to the next start\n');
    } else {
      this.io.exitNow(128 + signalNumber(signal));
    }
  }
}
