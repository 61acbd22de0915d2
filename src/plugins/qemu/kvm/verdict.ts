import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';

/** Whether KVM ran a guest. */
export interface KvmVerdict {
  readonly works: boolean;
  /** With `works`: the CPU model it worked with. */
  readonly cpuModel: string;
  /** What was seen, in words. */
  readonly reason: string;
}

const verdictFile = z.strictObject({
  version: z.literal(1),
  /** Verdicts hold for one boot of the host. */
  bootId: z.string(),
  verdicts: z.record(
    z.string(),
    z.strictObject({ works: z.boolean(), cpuModel: z.string(), reason: z.string(), at: z.string() }),
  ),
});
type VerdictFile = z.output<typeof verdictFile>;

const MAX_VERDICTS = 32;

/** Identifies a file's content well enough: a new version has another size or time. */
export function fileKey(path: string): string {
  const { size, mtimeMs } = statSync(path);
  return `${path}:${size}:${Math.floor(mtimeMs)}`;
}

/** Verdicts of this boot, in CACHEDIR/qemu-kvm.json. What cannot be read or written is done without. */
export class VerdictStore {
  readonly #path: string | undefined;

  constructor(
    cacheDir: string | undefined,
    private readonly bootId: string,
  ) {
    this.#path = cacheDir === undefined ? undefined : join(cacheDir, 'qemu-kvm.json');
  }

  async get(key: string): Promise<KvmVerdict | undefined> {
    const found = (await this.#read()).verdicts[key];
    return found && { works: found.works, cpuModel: found.cpuModel, reason: found.reason };
  }

  async put(key: string, verdict: KvmVerdict): Promise<void> {
    if (this.#path === undefined) return;
    const others = Object.entries((await this.#read()).verdicts).filter(([other]) => other !== key);
    const kept = others.sort(([, a], [, b]) => (a.at < b.at ? 1 : -1)).slice(0, MAX_VERDICTS - 1);
    const content: VerdictFile = {
      version: 1,
      bootId: this.bootId,
      verdicts: { ...Object.fromEntries(kept), [key]: { ...verdict, at: new Date().toISOString() } },
    };
    const draft = `${this.#path}.${randomBytes(6).toString('hex')}`;
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await writeFile(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
      await rename(draft, this.#path);
    } catch {
      await rm(draft, { force: true });
    }
  }

  async #read(): Promise<VerdictFile> {
    const nothing: VerdictFile = { version: 1, bootId: this.bootId, verdicts: {} };
    if (this.#path === undefined) return nothing;
    try {
      const parsed = verdictFile.safeParse(JSON.parse(await readFile(this.#path, 'utf8')));
      return parsed.success && parsed.data.bootId === this.bootId ? parsed.data : nothing;
    } catch {
      return nothing;
    }
  }
}
