import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Writes } from './state-view.js';

export type WriterRequest =
  | { readonly kind: 'commit'; readonly writes: readonly (readonly [string, Uint8Array | null])[] }
  | { readonly kind: 'close' };

/** `code` as LMDB gives it. */
export interface WriterAnswer {
  readonly error: { readonly message: string; readonly code?: number | string } | null;
}

/**
 * A thread that commits, so that the event loop does not stand while the disk is flushed. LMDB's own asynchronous
 * transactions end the process on a full disk; here its error comes back as any other.
 */
export class WriterThread {
  readonly #worker: Worker;
  readonly #ended: Promise<unknown>;
  #alive = true;
  #answer: ((answer: WriterAnswer | undefined) => void) | undefined;

  constructor(path: string, program = new URL('./state-writer.js', import.meta.url)) {
    this.#worker = new Worker(program, {
      workerData: { path },
      execArgv: [],
      name: 'hyperplug state',
    });
    // It keeps no process from its end; what it is committing does.
    this.#worker.unref();
    this.#ended = once(this.#worker, 'exit').catch(() => {});
    this.#worker.on('message', (answer: WriterAnswer) => this.#settle(answer));
    // An error is followed by the exit.
    this.#worker.on('error', () => {});
    this.#worker.once('exit', () => {
      this.#alive = false;
      this.#settle(undefined);
    });
  }

  get alive(): boolean {
    return this.#alive;
  }

  /**
   * One at a time; the caller holds the store's lock. False: the thread ended, and whether it had written cannot be told;
   * to write the same again does no harm.
   * @throws LMDB's error; then nothing was written.
   */
  async commit(writes: Writes): Promise<boolean> {
    if (!this.#alive) return false;
    this.#worker.ref();
    const answer = await new Promise<WriterAnswer | undefined>((resolve) => {
      this.#answer = resolve;
      const rows = [...writes].map(([key, value]) => [key, value && new Uint8Array(value)] as const);
      this.#worker.postMessage({ kind: 'commit', writes: rows } satisfies WriterRequest);
    });
    this.#worker.unref();
    if (answer?.error) {
      const { message, code } = answer.error;
      throw Object.assign(new Error(message), code === undefined ? {} : { code });
    }
    return answer !== undefined;
  }

  /** Resolves when it has ended. Idempotent. */
  async close(): Promise<void> {
    if (this.#alive) {
      this.#worker.ref();
      this.#worker.postMessage({ kind: 'close' } satisfies WriterRequest);
    }
    await this.#ended;
  }

  #settle(answer: WriterAnswer | undefined): void {
    this.#answer?.(answer);
    this.#answer = undefined;
  }
}
