import { accessSync, constants, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, delimiter, isAbsolute, join } from 'node:path';
import { throwIfAborted } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { ProgressSink } from '../../core/progress.js';
import type { Tool, ToolProvider } from '../tools.js';
import { TOOL_SOURCES, type ToolSource } from './tool-table.js';

export interface DebianToolProviderOptions {
  /** Absolute; unpacked packages are kept below it. Made when first needed. */
  readonly cacheDir: string;
  /** Folders to look in before, `:`-separated. Default: PATH of this process. /usr/sbin and /sbin are always looked in too. */
  readonly searchPath?: string;
}

/** Finds programs in PATH; those it does not find it unpacks from Debian's packages, without installing anything. */
export class DebianToolProvider implements ToolProvider {
  private readonly cacheDir: string;
  private readonly searchPath: string;

  constructor({ cacheDir, searchPath }: DebianToolProviderOptions) {
    if (!isAbsolute(cacheDir)) throw new TypeError(`cacheDir: expected an absolute path, got ${cacheDir}`);
    this.cacheDir = cacheDir;
    this.searchPath = searchPath ?? process.env.PATH ?? '';
  }

  /** @throws HOST_TOOL_MISSING with what was tried; ABORTED, TIMEOUT. */
  async locate(name: string, options: { signal: AbortSignal; progress: ProgressSink }): Promise<Tool> {
    throwIfAborted(options.signal, `locate ${name}`);
    const path = await findProgram(name, this.searchPath);
    if (path) return { name, path, origin: 'path', env: {} };
    const source = TOOL_SOURCES[name];
    if (!source)
      throw missing(name, `not in ${this.searchPath || 'an empty PATH'}, and no package is known that has it`);
    // Some are no commands, and so in no PATH.
    const installed = source.folder === undefined ? undefined : await firstProgram('/', source);
    if (installed) return { name, path: installed, origin: 'path', env: {} };
    return this.unpacked(name, source, options);
  }

  private async unpacked(
    name: string,
    source: ToolSource,
    options: { signal: AbortSignal; progress: ProgressSink },
  ): Promise<Tool> {
    const install = `install ${source.packages.join(' ')} (Debian's names)`;
    const path = process.env.PATH ?? '';
    if (!(await findProgram('apt-get', path)) || !(await findProgram('dpkg-deb', path))) {
      throw missing(name, `not in PATH, and this machine has no apt to get it from: ${install} and try again`);
    }
    try {
      const { packages, finish } = source;
      const request = { label: name, packages, dependencies: true, ...(finish ? { finish } : {}) };
      const { PackageStore } = await import('./packages.js');
      const { root } = await new PackageStore(this.cacheDir).provide(request, options);
      const program = await firstProgram(root, source);
      if (program) return { name, path: program, origin: 'unpacked', env: await environment(root), root };
      const installed = await firstProgram('/', source);
      if (installed) return { name, path: installed, origin: 'path', env: {} }; // its packages are installed, PATH lacks the folder
      if (source.later) return this.unpacked(name, source.later, options);
      throw missing(name, `none of ${packages.join(', ')} has it`);
    } catch (error) {
      if (hasCode(error, 'ABORTED', 'TIMEOUT')) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw missing(
        name,
        `not in PATH, and unpacking ${source.packages.join(', ')} failed: ${why}; or ${install}`,
        error,
      );
    }
  }
}

function missing(name: string, why: string, cause?: unknown): HyperplugError {
  return new HyperplugError('HOST_TOOL_MISSING', `${name}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { tool: name, packages: TOOL_SOURCES[name]?.packages ?? [] },
  });
}

/** The absolute path of an executable file of this name. */
export async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  for (const folder of [...searchPath.split(delimiter), '/usr/sbin', '/sbin']) {
    if (!isAbsolute(folder)) continue; // a relative entry would depend on the working directory
    const path = join(folder, name);
    if (isProgram(path)) return path;
  }
  return undefined;
}

async function firstProgram(root: string, { program, folder }: ToolSource): Promise<string | undefined> {
  for (const path of [join(root, program), ...(folder === undefined ? [] : [join(root, folder, basename(program))])]) {
    if (isProgram(path)) return path;
  }
  return undefined;
}

/** Synchronously: a start looks in some fifty places, and each by way of a thread would take ten times as long. */
function isProgram(path: string): boolean {
  try {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // A folder of PATH that we may not look into (root's, after a change of user) is not ours to search.
    return false;
  }
}

/** What an unpacked program needs to find its libraries and, for QEMU, its modules. */
async function environment(root: string): Promise<Record<string, string>> {
  const libraries: string[] = [];
  for (const base of ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu', 'usr/lib', 'lib']) {
    const folder = join(root, base);
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    if (entries.some((entry) => isLibrary(entry.name))) libraries.push(folder);
    if (!base.endsWith('-gnu')) continue;
    // Private library folders that programs name by an absolute RUNPATH (pulseaudio, blas and the like).
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      const inner = await readdir(join(folder, entry.name)).catch(() => []);
      if (inner.some(isLibrary)) libraries.push(join(folder, entry.name));
    }
  }
  const env: Record<string, string> = {};
  const inherited = process.env.LD_LIBRARY_PATH;
  if (libraries.length > 0) env.LD_LIBRARY_PATH = [...libraries, ...(inherited ? [inherited] : [])].join(delimiter);
  const modules = join(root, 'usr/lib/x86_64-linux-gnu/qemu');
  if (await stat(modules).catch(() => undefined)) env.QEMU_MODULE_DIR = modules;
  return env;
}

function isLibrary(name: string): boolean {
  return /^lib.*\.so\.\d/.test(name);
}
