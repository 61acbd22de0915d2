import { HyperplugError } from '../core/errors.js';
import { type Call, part, type Transport } from './transport.js';

/**
 * The connection by which the daemon knows that this client lives: pods that it does not keep end with it. Opened when the
 * first such pod is made.
 */
export class ClientSession {
  #id: Promise<string> | undefined;
  #ended = new AbortController();

  constructor(private readonly transport: Transport) {}

  id(): Promise<string> {
    this.#id ??= this.#open().catch((error: unknown) => {
      this.#id = undefined;
      throw error;
    });
    return this.#id;
  }

  /** Its pods are removed. @throws POD_CLEANUP_FAILED. */
  async end(call: Call = {}): Promise<void> {
    const id = await this.#id?.catch(() => undefined);
    this.#id = undefined;
    if (id === undefined) return;
    try {
      await this.transport.json('DELETE', `/v1/sessions/${part(id)}`, call);
    } finally {
      this.#ended.abort(new HyperplugError('ABORTED', 'the session was ended'));
    }
  }

  async #open(): Promise<string> {
    this.#ended = new AbortController();
    const lines = this.transport.lines<{ session: string }>('POST', '/v1/sessions', { signal: this.#ended.signal });
    const first = await lines.next();
    if (first.done) throw new HyperplugError('DAEMON_LOST', 'the daemon ended the session at once');
    // Read to its end, whenever that comes: then a new one is needed.
    const forget = () => {
      this.#id = undefined;
    };
    lines.next().then(forget, forget);
    return first.value.session;
  }
}
