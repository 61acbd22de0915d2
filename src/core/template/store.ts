import { mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type CallOptions, withDeadline } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { HeldLock, HostServices } from '../host-services.js';
import { isTemplateName, MANIFEST, readManifest, type TemplateManifest } from './manifest.js';

/** One that is there, with where it is. */
export interface StoredTemplate extends TemplateManifest {
  readonly directory: string;
  /** When a pod last was made from it, milliseconds since 1970. */
  readonly usedAtMs: number;
}

export interface UnreadableTemplate {
  readonly name: string;
  readonly directory: string;
  readonly why: string;
}

const LAUNCHES_TIMEOUT_MS = 30_000;
const SHORT_MS = 200;

/**
 * Templates in a directory: NAME/ is one that is whole. Beside it stand, while somebody is at it, `.NAME.new`, which is
 * being made, `.NAME.old`, which is being removed, and two locks: `.NAME.making.lock` for whoever makes it, and
 * `.NAME.lock`, which launches share, so that its files stay where they are until they are open.
 */
export class TemplateStore {
  constructor(
    readonly directory: string,
    private readonly host: Pick<HostServices, 'lock'>,
  ) {}

  place(name: string): string {
    return join(this.directory, name);
  }

  /** In the order of their names. */
  async list(): Promise<{
    readonly templates: readonly StoredTemplate[];
    readonly broken: readonly UnreadableTemplate[];
  }> {
    const templates: StoredTemplate[] = [];
    const broken: UnreadableTemplate[] = [];
    for (const name of (await this.#entries()).filter(isTemplateName)) {
      try {
        const found = await this.find(name);
        if (found) templates.push(found);
        else broken.push({ name, directory: this.place(name), why: `${MANIFEST} is missing` });
      } catch (error) {
        if (!hasCode(error, 'TEMPLATE_STALE')) throw error;
        broken.push({ name, directory: this.place(name), why: error.message });
      }
    }
    return { templates, broken };
  }

  /** @throws TEMPLATE_STALE it is there and cannot be read. */
  async find(name: string): Promise<StoredTemplate | undefined> {
    const directory = this.place(name);
    const manifest = await readManifest(directory, name);
    if (!manifest) return undefined;
    const { mtimeMs } = await stat(join(directory, MANIFEST)).catch(() => ({ mtimeMs: 0 }));
    return { ...manifest, directory, usedAtMs: mtimeMs };
  }

  /** Readable or not. */
  async has(name: string): Promise<boolean> {
    return (await this.#entries()).includes(name);
  }

  /** @throws TEMPLATE_NOT_FOUND, TEMPLATE_STALE. */
  async read(name: string): Promise<StoredTemplate> {
    return (await this.find(name)) ?? notFound(name);
  }

  /**
   * Runs `body` while the template's files stay where they are: until a clone has them open.
   * @throws TEMPLATE_NOT_FOUND, TEMPLATE_STALE it was removed or changed meanwhile.
   */
  async use<T>(template: StoredTemplate, call: CallOptions, body: () => Promise<T>): Promise<T> {
    const { name } = template;
    const lock = await this.host.lock(this.#lock(name), `launch from template ${name}`, call.signal, { shared: true });
    try {
      const now = await this.read(name);
      if (now.createdAt !== template.createdAt) throw changed(name);
      const result = await body();
      const time = new Date();
      await utimes(join(now.directory, MANIFEST), time, time).catch(() => {});
      return result;
    } finally {
      await lock.release();
    }
  }

  /**
   * Makes a template, or makes it anew: `body` fills the directory it is given and returns what template.json shall say;
   * that takes the place of what was there only when it is whole. One maker at a time, in whatever process; whoever comes
   * later is told by `already` that it is there.
   */
  async make(
    name: string,
    call: CallOptions,
    already: (found: StoredTemplate | undefined) => Promise<boolean>,
    body: (directory: string) => Promise<TemplateManifest>,
  ): Promise<StoredTemplate> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const making = await this.host.lock(this.#makingLock(name), `make template ${name}`, call.signal);
    const fresh = this.#new(name);
    let made = false;
    try {
      await this.#settle(name, call);
      const found = await this.find(name).catch(() => undefined);
      if (await already(found)) return await this.read(name);
      await mkdir(fresh, { mode: 0o700 });
      const manifest = await body(fresh);
      await writeSynced(join(fresh, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
      await this.#swap(name, call);
      made = true;
      return await this.read(name);
    } finally {
      if (!made) await rm(fresh, { recursive: true, force: true });
      await making.release({ remove: true });
    }
  }

  /** False: there is none. Waits for launches under way. */
  async remove(name: string, call: CallOptions): Promise<boolean> {
    const making = await this.host.lock(this.#makingLock(name), `remove template ${name}`, call.signal);
    try {
      await this.#settle(name, call);
      if (!(await this.has(name))) return false;
      await this.#alone(name, call, () => rename(this.place(name), this.#old(name)));
      await rm(this.#old(name), { recursive: true, force: true });
      return true;
    } finally {
      await making.release({ remove: true });
    }
  }

  /** Names of templates of which something half made or half removed is there, and whether somebody is at it. */
  async leftovers(
    lockHolder: (path: string) => unknown,
  ): Promise<readonly { name: string; paths: string[]; held: boolean }[]> {
    const found = new Map<string, string[]>();
    const entries = await this.#entries();
    for (const entry of entries) {
      const [, name, what] = LEFTOVER.exec(entry) ?? [];
      // The lock of launches stays as long as the template does.
      if (name === undefined || (what === 'lock' && entries.includes(name))) continue;
      found.set(name, [...(found.get(name) ?? []), join(this.directory, entry)]);
    }
    return [...found].map(([name, paths]) => {
      return { name, paths, held: lockHolder(this.#makingLock(name)) !== undefined };
    });
  }

  /** Brings to an end what somebody who died was doing. False: somebody is at it. */
  async tidy(name: string, call: CallOptions): Promise<boolean> {
    let lock: HeldLock;
    try {
      lock = await withDeadline('gc', SHORT_MS, call.signal, ({ signal }) => {
        return this.host.lock(this.#makingLock(name), `gc of template ${name}`, signal);
      });
    } catch (error) {
      if (hasCode(error, 'TIMEOUT')) return false;
      throw error;
    }
    try {
      await this.#settle(name, call);
      return true;
    } finally {
      await lock.release({ remove: true });
    }
  }

  /** With the maker's lock. A swap that was not finished is taken back; what was half made or half removed goes. */
  async #settle(name: string, call: CallOptions): Promise<void> {
    const entries = await this.#entries();
    const [fresh, old] = [this.#new(name), this.#old(name)];
    if (entries.includes(base(old)) && !entries.includes(name) && entries.includes(base(fresh))) {
      await this.#alone(name, call, () => rename(old, this.place(name)));
    }
    await rm(old, { recursive: true, force: true });
    await rm(fresh, { recursive: true, force: true });
    // That of launches, where there is nothing to launch from.
    if (entries.includes(base(this.#lock(name))) && !(await this.has(name))) {
      await this.#alone(name, call, async () => {});
    }
  }

  async #swap(name: string, call: CallOptions): Promise<void> {
    const [fresh, old] = [this.#new(name), this.#old(name)];
    await this.#alone(name, call, async () => {
      await rename(this.place(name), old).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
      try {
        await rename(fresh, this.place(name));
      } catch (error) {
        await rename(old, this.place(name)).catch(() => {});
        throw error;
      }
    });
    await rm(old, { recursive: true, force: true });
  }

  /** While no launch is under way. */
  async #alone(name: string, call: CallOptions, body: () => Promise<void>): Promise<void> {
    const lock = await withDeadline(`launches from template ${name}`, LAUNCHES_TIMEOUT_MS, call.signal, ({ signal }) =>
      this.host.lock(this.#lock(name), `change template ${name}`, signal),
    );
    try {
      await body();
    } finally {
      await lock.release({ remove: true });
    }
  }

  async #entries(): Promise<readonly string[]> {
    try {
      return (await readdir(this.directory)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #new = (name: string) => join(this.directory, `.${name}.new`);
  #old = (name: string) => join(this.directory, `.${name}.old`);
  #lock = (name: string) => join(this.directory, `.${name}.lock`);
  #makingLock = (name: string) => join(this.directory, `.${name}.making.lock`);
}

/** Locks that nobody holds, too: whoever held them died. */
const LEFTOVER = /^\.([a-z0-9-]+)\.(new|old|lock|making\.lock)$/;

const base = (path: string) => path.slice(path.lastIndexOf('/') + 1);

export function notFound(name: string): never {
  throw new HyperplugError('TEMPLATE_NOT_FOUND', `no template named ${name}`, {
    details: { field: 'template', received: name },
  });
}

const changed = (name: string) =>
  new HyperplugError('TEMPLATE_STALE', `template ${name} was made anew meanwhile`, {
    details: { field: 'template', received: name },
  });

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
