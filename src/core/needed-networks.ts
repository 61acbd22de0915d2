import { raceSignal, type UserCallOptions } from './calls.js';
import { combineErrors, hasCode } from './errors.js';

/** Not the name of any network: the backend knows them all, and has made none. */
const KNOWN = '';

/** The networks that this process has seen to: each once, when something first needs it. */
export class NeededNetworks {
  readonly #seen = new Map<string, Promise<void>>();

  /** @param init core's initNetworks() for all that are configured, of which it makes these. */
  constructor(private readonly init: (only: readonly string[], options: UserCallOptions) => Promise<void>) {}

  /** @throws what initNetworks() throws for these; the next call tries again. */
  async need(names: readonly string[], options: UserCallOptions): Promise<void> {
    if (names.length === 0 && this.#seen.size > 0) return;
    const wanted = names.length === 0 ? [KNOWN] : [...new Set(names)];
    const outcomes = await Promise.allSettled(wanted.map((name) => this.#once(name, options)));
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    if (refused.length > 0) throw combineErrors('NET_INIT_FAILED', 'networks', refused);
  }

  /** They have been made. */
  saw(names: readonly string[]): void {
    for (const name of names) this.#seen.set(name, Promise.resolve());
  }

  /** None of them is as it was. */
  forget(): void {
    this.#seen.clear();
  }

  async #once(name: string, options: UserCallOptions): Promise<void> {
    for (;;) {
      const known = this.#seen.get(name);
      const running = known ?? this.#start(name, options);
      try {
        return await (options.signal ? raceSignal(running, options.signal, 'the networks') : running);
      } catch (error) {
        // Another call's end is not this one's.
        const others = known !== undefined && hasCode(error, 'ABORTED', 'TIMEOUT') && !options.signal?.aborted;
        if (!others) throw error;
      }
    }
  }

  #start(name: string, options: UserCallOptions): Promise<void> {
    const running = this.init(name === KNOWN ? [] : [name], options);
    this.#seen.set(name, running);
    // Mended meanwhile, the next call succeeds.
    running.catch(() => {
      if (this.#seen.get(name) === running) this.#seen.delete(name);
    });
    return running;
  }
}
