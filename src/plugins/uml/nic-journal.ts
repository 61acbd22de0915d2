import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';

const identity = z.strictObject({ pid: z.int().positive(), startTime: z.int().nonnegative(), bootId: z.string() });
const entry = z.strictObject({
  id: z.string(),
  mac: z.string(),
  slot: z.int().nonnegative(),
  /** `changing`: it is being attached or detached, by somebody who may have died meanwhile. */
  state: z.enum(['changing', 'attached']),
  /** slirp4netns, where the NIC is one of UML's own network. */
  slirp: identity.optional(),
});
const journal = z.strictObject({ version: z.literal(1), nics: z.array(entry) });
export type NicEntry = z.output<typeof entry>;

/** Which NICs are plugged, for whoever adopts the VM: UML does not tell. Written before a change and after. */
export class NicJournal {
  readonly #entries = new Map<number, NicEntry>();
  #last: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  async read(): Promise<readonly NicEntry[]> {
    const text = await readFile(this.path, 'utf8').catch(() => undefined);
    const parsed = text === undefined ? undefined : journal.parse(JSON.parse(text));
    for (const each of parsed?.nics ?? []) this.#entries.set(each.slot, each);
    return [...this.#entries.values()];
  }

  get(slot: number): NicEntry | undefined {
    return this.#entries.get(slot);
  }

  set(each: NicEntry): Promise<void> {
    this.#entries.set(each.slot, each);
    return this.#write();
  }

  drop(slot: number): Promise<void> {
    this.#entries.delete(slot);
    return this.#write();
  }

  /** One after the other, each with all that is known by then. */
  #write(): Promise<void> {
    const written = this.#last.then(async () => {
      const draft = `${this.path}.${randomBytes(4).toString('hex')}`;
      const content = { version: 1, nics: [...this.#entries.values()] };
      await writeFile(draft, JSON.stringify(content), { mode: 0o600, flag: 'wx' });
      await rename(draft, this.path);
    });
    this.#last = written.catch(() => {});
    return written;
  }
}
