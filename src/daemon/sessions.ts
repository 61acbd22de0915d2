import { randomUUID } from 'node:crypto';
import { HyperplugError } from '../core/errors.js';
import type { PluginLogger } from '../core/plugin.js';
import type { Pod } from '../core/pod/types.js';

const REMOVE_TIMEOUT_MS = 60_000;

/** A client that stays connected: pods that it does not keep end with it. */
export class Session {
  readonly id = randomUUID();
  readonly #pods = new Map<string, Pod>();
  #ended: Promise<unknown[]> | undefined;

  /** False: it has ended meanwhile, so that the pod has nobody. */
  add(pod: Pod): boolean {
    if (this.#ended) return false;
    this.#pods.set(pod.id, pod);
    pod.exited.then(
      () => {},
      () => {},
    );
    return true;
  }

  drop(id: string): void {
    this.#pods.delete(id);
  }

  /** Removes what it has not kept; goes on past failures, and returns them. */
  end(): Promise<unknown[]> {
    this.#ended ??= (async () => {
      const removals = [...this.#pods.values()].map((pod) => pod.remove({ timeoutMs: REMOVE_TIMEOUT_MS }));
      const settled = await Promise.allSettled(removals);
      return settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    })();
    return this.#ended;
  }
}

export class Sessions {
  readonly #open = new Map<string, Session>();
  readonly #ending = new Set<Promise<unknown>>();

  constructor(private readonly logger: PluginLogger) {}

  get count(): number {
    return this.#open.size;
  }

  open(): Session {
    const session = new Session();
    this.#open.set(session.id, session);
    return session;
  }

  /** @throws API_REQUEST_INVALID no such session is open. */
  get(id: string): Session {
    const session = this.#open.get(id);
    if (session) return session;
    throw new HyperplugError(
      'API_REQUEST_INVALID',
      `hyperplug-session: expected an open session, got ${JSON.stringify(id)}`,
      {
        details: { field: 'hyperplug-session', received: id },
      },
    );
  }

  async end(session: Session): Promise<unknown[]> {
    this.#open.delete(session.id);
    const ending = session.end();
    this.#ending.add(ending);
    const errors = await ending;
    this.#ending.delete(ending);
    for (const error of errors) this.logger.error({ err: error }, 'a pod whose client is gone could not be removed');
    return errors;
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#open.values()].map((session) => this.end(session)));
    await Promise.all(this.#ending);
  }
}
