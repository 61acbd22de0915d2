import { type FSWatcher, mkdirSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** For what no wake-up told of: a writer killed between its commit and its wake-up, a directory that cannot be watched. */
const LOOK_AGAIN_MS = 5_000;

/**
 * Wakes those who follow the log, in this process at once and in others by a file that they watch (inotify): the store
 * itself tells nobody of a change.
 */
export class Wake {
  readonly #listeners = new Set<() => void>();
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #told: NodeJS.Immediate | undefined;

  constructor(private readonly directory: string) {}

  /** Something was written. That nobody elsewhere can be told is no error: they look again by themselves. */
  announce(): void {
    for (const listener of this.#listeners) listener();
    // What was written in the same turn of the event loop is told once.
    this.#told ??= setImmediate(() => {
      this.#told = undefined;
      try {
        writeFileSync(join(this.directory, 'events.wake'), '.', { mode: 0o600 });
      } catch {
        // As said.
      }
    });
  }

  /** Calls `listener` when there may be something new; the returned function ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#begin();
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#end();
    };
  }

  #begin(): void {
    const wake = () => {
      for (const listener of this.#listeners) listener();
    };
    // It keeps the process: one that only follows has nothing else that would.
    this.#timer = setInterval(wake, LOOK_AGAIN_MS);
    try {
      mkdirSync(this.directory, { recursive: true, mode: 0o700 });
      this.#watcher = watch(this.directory, { persistent: false }, wake);
      this.#watcher.on('error', () => {});
    } catch {
      // No inotify left: the timer alone.
    }
  }

  #end(): void {
    clearInterval(this.#timer);
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
