import { randomUUID } from 'node:crypto';
import type { ErrorCode } from '../core/error-codes.js';
import { HyperplugError } from '../core/errors.js';

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** What is under way, by request id: its client may end it in words and still hear what came of it. */
export class Requests {
  readonly #running = new Map<string, { readonly controller: AbortController; readonly stream: boolean }>();

  get count(): number {
    return this.#running.size;
  }

  /** The id that a client proposes, where it is one and nobody has it. */
  idFor(proposed: unknown): string {
    const fits = typeof proposed === 'string' && REQUEST_ID.test(proposed) && !this.#running.has(proposed);
    return fits ? proposed : randomUUID();
  }

  begin(id: string, stream: boolean): AbortSignal {
    const controller = new AbortController();
    this.#running.set(id, { controller, stream });
    return controller.signal;
  }

  end(id: string): void {
    this.#running.delete(id);
  }

  /** False: no such request is under way. */
  cancel(id: string, code: ErrorCode, message: string): boolean {
    const running = this.#running.get(id);
    running?.controller.abort(new HyperplugError(code, message));
    return running !== undefined;
  }

  /** Those that have no end of their own. */
  cancelStreams(message: string): void {
    for (const [id, { stream }] of this.#running) if (stream) this.cancel(id, 'ABORTED', message);
  }

  cancelAll(message: string): void {
    for (const id of this.#running.keys()) this.cancel(id, 'ABORTED', message);
  }
}
