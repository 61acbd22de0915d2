import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

interface Known {
  /** Over what stat(2) tells of the files. */
  readonly stamp: string;
  /** Over their contents. */
  readonly hash: string;
}

const KEPT = 12;
/** A file that was changed a moment ago may be changed again within the same tick of the file system's clock. */
const SETTLED_MS = 2_000;

const isKnown = (value: unknown): value is Known =>
  typeof value === 'object' &&
  value !== null &&
  ['stamp', 'hash'].every((name) => typeof (value as Record<string, unknown>)[name] === 'string');

/**
 * Hashes of source files, each start of a pod asks for them: what stat(2) says of every file (its inode, size and times, of
 * which the last change can be set by nobody) tells whether they are those that were read before.
 */
export class SourceHashes {
  /** @param path of a file in the cache; it need not be there, nor may it have to be writable. */
  constructor(
    private readonly path: string,
    private readonly settledMs = SETTLED_MS,
  ) {}

  /** Over names and contents of a folder's files. */
  async of(folder: string, names: readonly string[]): Promise<string> {
    const { stamp, changedMs } = stampOf(folder, names);
    const known = this.#read();
    const found = known.find((each) => each.stamp === stamp);
    if (found) return found.hash;
    const hash = await hashFiles(folder, names);
    const after = stampOf(folder, names);
    if (after.stamp === stamp && Date.now() - changedMs >= this.settledMs) this.#write([{ stamp, hash }, ...known]);
    return hash;
  }

  #read(): Known[] {
    try {
      const value: unknown = JSON.parse(readFileSync(this.path, 'utf8'));
      return Array.isArray(value) ? value.filter(isKnown) : [];
    } catch {
      return [];
    }
  }

  #write(known: readonly Known[]): void {
    const draft = `${this.path}.${randomBytes(6).toString('hex')}`;
    try {
      writeFileSync(draft, JSON.stringify(known.slice(0, KEPT)), { flag: 'wx', mode: 0o644 });
      renameSync(draft, this.path);
    } catch {
      // The next start reads them again.
      rmSync(draft, { force: true });
    }
  }
}

function stampOf(folder: string, names: readonly string[]): { stamp: string; changedMs: number } {
  const hash = createHash('sha256').update(folder);
  let changedMs = 0;
  for (const name of names) {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(join(folder, name), { bigint: true });
    hash.update(`\0${name}\0${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`);
    changedMs = Math.max(changedMs, Number(ctimeNs / 1_000_000n));
  }
  return { stamp: hash.digest('hex'), changedMs };
}

/** All are read at once: one after the other it would take 25 ms. */
async function hashFiles(folder: string, names: readonly string[]): Promise<string> {
  const contents = await Promise.all(names.map((name) => readFile(join(folder, name))));
  const hash = createHash('sha256');
  for (const [index, name] of names.entries()) {
    hash
      .update(`${name}\0`)
      .update(contents[index] as Buffer)
      .update('\0');
  }
  return hash.digest('hex');
}
