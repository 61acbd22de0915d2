import { readFile, rename, writeFile } from 'node:fs/promises';

/**
 * What was made of late, newest first, in a small JSON file. Versions of the program that alternate on one cache each find
 * theirs; what has fallen off the end may be removed. Only the holder of the folder's lock adds.
 */
export class Recent<T extends { readonly key: string }> {
  /**
   * @param path of the file; @param keep how many keys are kept, at least 2: a running program may use the one before;
   * @param isEntry tells an entry from what another version wrote.
   */
  constructor(
    private readonly path: string,
    private readonly keep: number,
    private readonly isEntry: (value: unknown) => value is T,
  ) {}

  /** Missing or damaged: empty, and all is made anew. */
  async read(): Promise<T[]> {
    try {
      const value: unknown = JSON.parse(await readFile(this.path, 'utf8'));
      return Array.isArray(value) ? value.filter(this.isEntry) : [];
    } catch {
      return [];
    }
  }

  /** Puts `entry` in front, in the place of those that `replaces` names; returns all that is kept. */
  async add(entry: T, replaces: (other: T) => boolean): Promise<T[]> {
    const all = [entry, ...(await this.read()).filter((other) => !replaces(other))];
    const keys = new Set([...new Set(all.map(({ key }) => key))].slice(0, this.keep));
    const kept = all.filter(({ key }) => keys.has(key));
    await writeFile(`${this.path}.tmp`, JSON.stringify(kept, null, 1));
    await rename(`${this.path}.tmp`, this.path);
    return kept;
  }
}
