import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';

const digestFile = z.strictObject({
  version: z.literal(1),
  /** What tells one content of a file from the next → its digest; the oldest first. */
  digests: z.array(z.tuple([z.string(), z.string()])),
});

const MAX_DIGESTS = 64;

/**
 * SHA-256 of files, each read once as long as its inode, size and times (ctime, which no program can set, among them) stay
 * the same. They are remembered in `path`; what cannot be read or written there is done without.
 */
export class FileDigests {
  #known: Map<string, Promise<string>> | undefined;

  constructor(private readonly path: string | undefined) {}

  async of(file: string, signal: AbortSignal): Promise<string> {
    this.#known ??= await this.#read();
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    const key = [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    // Another call's reading may be aborted with that call: then this one reads by itself.
    const known = await this.#known.get(key)?.catch(() => undefined);
    if (known !== undefined) return known;
    const digest = digestOf(file, signal);
    this.#known.set(key, digest);
    try {
      await digest;
      await this.#write();
    } catch (error) {
      if (this.#known.get(key) === digest) this.#known.delete(key);
      throw error;
    }
    return digest;
  }

  async #read(): Promise<Map<string, Promise<string>>> {
    if (this.path === undefined) return new Map();
    try {
      const { digests } = digestFile.parse(JSON.parse(await readFile(this.path, 'utf8')));
      return new Map(digests.map(([key, digest]) => [key, Promise.resolve(digest)]));
    } catch {
      return new Map();
    }
  }

  async #write(): Promise<void> {
    if (this.path === undefined || !this.#known) return;
    const settled = await Promise.all(
      [...this.#known].map(async ([key, digest]) => [key, await digest.catch(() => undefined)] as const),
    );
    const digests = settled.filter(([, digest]) => digest !== undefined).slice(-MAX_DIGESTS);
    const draft = `${this.path}.${randomBytes(6).toString('hex')}`;
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      await writeFile(draft, JSON.stringify({ version: 1, digests }), { mode: 0o600, flag: 'wx' });
      await rename(draft, this.path);
    } catch {
      await rm(draft, { force: true }).catch(() => {});
    }
  }
}

async function digestOf(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash, { signal });
  return hash.digest('hex');
}
