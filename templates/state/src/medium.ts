import type { StateEntry, StateKey } from 'hyperplug';
import { todo } from './todo.js';

/** What one transaction wrote: a value as JSON text, or null for an entry that was deleted. */
export interface Write {
  readonly key: StateKey;
  readonly text: string | null;
}

/** Where the records are. This is what is yours to write; the rules of the contract are in store.ts. */
export class Medium {
  async open(): Promise<void> {
    // Connect, or open the file, here.
  }

  /** Idempotent. */
  async close(): Promise<void> {
    // And let go of it here.
  }

  /** The JSON text of one entry; undefined: there is none. */
  read(_key: StateKey): string | undefined {
    return todo('Medium.read');
  }

  /** All entries, in any order. @throws what makes one unreadable is told by Store.unreadable(), never here. */
  readAll(): readonly StateEntry[] {
    return todo('Medium.readAll');
  }

  /** All of the writes, or none. With `durable`: on disk when it returns. */
  commit(_writes: readonly Write[]): void {
    todo('Medium.commit');
  }
}
