import { abortError } from '../../calls.js';
import { HyperplugError } from '../../errors.js';

const SIGKILL = 9;
/** After SIGKILL, or where none can be sent: how long its end may take to be told. */
const GIVE_UP_MS = 5_000;

export interface EndingReason {
  readonly why: 'timeout' | 'canceled' | 'maxBuffer' | 'input';
  readonly cause?: unknown;
}

export interface EndingOptions {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly killSignal: number;
  readonly forceKillAfterMs: number;
  kill(signal: number): Promise<void>;
}

/** How a command is ended before it ends by itself: asked, then killed, then given up on. */
export class Ending {
  #reason: EndingReason | undefined;
  readonly #start = new AbortController();
  readonly #givenUp = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  #state: 'starting' | 'running' | 'ended' | 'over' = 'starting';
  readonly #onAbort = () => {
    const { signal } = this.options;
    if (signal) this.begin({ why: 'canceled', cause: abortError(signal, 'the command') });
  };

  constructor(private readonly options: EndingOptions) {
    const { signal, timeoutMs } = options;
    if (timeoutMs !== undefined) this.#after(timeoutMs, () => this.begin({ why: 'timeout' }));
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get reason(): EndingReason | undefined {
    return this.#reason;
  }
  /** Fires when the start is to be given up. */
  get start(): AbortSignal {
    return this.#start.signal;
  }
  /** Fires when nothing helped. */
  get givenUp(): AbortSignal {
    return this.#givenUp.signal;
  }

  /** The first reason counts. */
  begin(reason: EndingReason): void {
    if (this.#reason || this.#state === 'over') return;
    this.#reason = reason;
    if (this.#state === 'running') this.#escalate();
    else if (this.#state === 'ended') this.#givenUp.abort();
    else this.#start.abort(new HyperplugError('ABORTED', 'the command was given up before it ran'));
  }

  /** It has been started. */
  runs(): void {
    this.#state = 'running';
    if (this.#reason) this.#escalate();
  }

  /** It has ended; its children may hold its output open, and where it was made to end they have so long. */
  exited(lastOutputMs: number): void {
    this.#state = 'ended';
    if (this.#reason) this.#after(lastOutputMs, () => this.#givenUp.abort());
  }

  dispose(): void {
    this.#state = 'over';
    for (const timer of this.#timers) clearTimeout(timer);
    this.options.signal?.removeEventListener('abort', this.#onAbort);
  }

  #escalate(): void {
    const { kill, killSignal, forceKillAfterMs } = this.options;
    const force = () => {
      if (this.#state !== 'running') return;
      this.#after(GIVE_UP_MS, () => this.#givenUp.abort());
      // That it cannot be killed shows in the end.
      kill(SIGKILL).catch(() => {});
    };
    if (killSignal === SIGKILL) force();
    else {
      this.#after(forceKillAfterMs, force);
      kill(killSignal).catch(force);
    }
  }

  #after(ms: number, body: () => void): void {
    if (this.#state === 'over') return;
    this.#timers.push(setTimeout(body, ms));
  }
}
