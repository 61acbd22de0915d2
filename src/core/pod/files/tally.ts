import type { TarType } from '../../tar/header.js';
import type { CopyReport } from './types.js';

const MAX_SKIPPED = 100;

/** Counts what is copied. */
export class Tally {
  readonly #counts = { files: 0, directories: 0, links: 0, bytes: 0 };
  readonly #skipped: string[] = [];
  /** Of whatever kind, skipped ones too. */
  seen = 0;

  get bytes(): number {
    return this.#counts.bytes;
  }
  get report(): CopyReport {
    return { ...this.#counts, skipped: [...this.#skipped] };
  }

  count(type: TarType, bytes: number): void {
    this.seen += 1;
    this.#counts[type === 'file' ? 'files' : type === 'directory' ? 'directories' : 'links'] += 1;
    this.#counts.bytes += bytes;
  }

  skip(path: string): void {
    this.seen += 1;
    if (this.#skipped.length < MAX_SKIPPED) this.#skipped.push(path);
  }
}

/** What stands in text for bytes that are no UTF-8. */
const REPLACED = '\uFFFD';

/** Whether a name that was read as text may have been another: two such could become one file, and neither be found again. */
export const isLossy = (name: string): boolean => name.includes(REPLACED);
