import { existsSync, writeSync } from 'node:fs';
import { register } from 'node:module';
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { raceSignal, type UserCallOptions, withDeadline } from '../calls.js';
import { HyperplugError, isHyperplugError } from '../errors.js';
import type { AnyPlugin } from '../plugin.js';
import { type FieldProblem, pluginError } from './plugin-error.js';
import type { PluginRegistry } from './registry.js';
import { importFrom } from './resolve-hook.js';

/**
 * Code that V8 took from its cache no longer knows who imports for it: the bundled program's first file, which is compiled
 * each time, then does (scripts/program-loader.cjs).
 */
function importModule(url: string): Promise<{ readonly default?: unknown }> {
  const loader = (globalThis as { [key: symbol]: unknown })[Symbol.for('hyperplug.import')];
  return typeof loader === 'function' ? (loader(url) as Promise<{ readonly default?: unknown }>) : import(url);
}

/** One entry of `plugins` in the configuration. */
export interface PluginReference {
  /** A package name, or a path: absolute, or starting with `./` or `../`. */
  readonly specifier: string;
  /** Absolute: relative paths start here, and packages are looked for from here upwards. */
  readonly baseDirectory: string;
  /** Where it is named, for messages: `/etc/hyperplug/hyperplug.yaml:4`. */
  readonly namedIn: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;

let hooked = false;

/** Costs a thread, so that it is done only when a plugin is to be loaded. */
function hookResolution(): void {
  if (hooked) return;
  // Above the folder of the bundled program, which has a package.json of its own: it would be taken for the package.
  const self = new URL('../..', import.meta.url).href;
  register('./resolve-hook.js', import.meta.url, { data: { self } });
  hooked = true;
}

/**
 * Imports third-party plugins, one after the other, and adds them to the registry. A module gives a plugin, or a list of
 * them, as its default export. A plain value of the right shape is enough: it needs to import nothing.
 * @param options `timeoutMs` (default 30 000) is for each.
 * @throws PLUGIN_LOAD_FAILED it does not exist, or its import threw; TIMEOUT its import does not end; what
 * PluginRegistry.add() throws.
 */
export async function loadPlugins(
  registry: PluginRegistry,
  references: readonly PluginReference[],
  options: UserCallOptions = {},
): Promise<readonly AnyPlugin[]> {
  const loaded: AnyPlugin[] = [];
  for (const reference of references) {
    const { url, place } = locate(reference);
    const source = `${place}, named in ${reference.namedIn}`;
    hookResolution();
    const what = `plugin ${reference.specifier} (${source}): import`;
    const tell = (code: number) => tellOfExit(what, code);
    process.once('exit', tell);
    let exported: { readonly default?: unknown };
    try {
      exported = await withDeadline(what, options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal, ({ signal }) =>
        raceSignal(importModule(url), signal, what),
      );
    } catch (cause) {
      if (isHyperplugError(cause)) throw cause;
      throw loadFailure(reference, source, cause);
    } finally {
      process.off('exit', tell);
    }
    const values = Array.isArray(exported.default) ? exported.default : [exported.default];
    if (values.length === 0 || values.includes(undefined)) {
      const problem = {
        field: 'default export',
        expected: 'a plugin, or a list of plugins',
        received: exported.default,
      };
      throw pluginError('PLUGIN_INVALID', { name: reference.specifier, source }, problem);
    }
    for (const value of values) loaded.push(registry.add(value, source));
  }
  return loaded;
}

/** A module that calls process.exit() would else end us without a word, and as if all were well. */
function tellOfExit(what: string, code: number): void {
  writeSync(2, `hyperplug: ${what} ended this process (exit code ${code})\n`);
  if (code === 0) process.exitCode = 1;
}

function locate(reference: PluginReference): { readonly url: string; readonly place: string } {
  const { specifier, baseDirectory } = reference;
  const isUrl = specifier.startsWith('file:');
  if (!isUrl && !isAbsolute(specifier) && !/^\.\.?\//.test(specifier)) {
    const parent = pathToFileURL(`${baseDirectory}/hyperplug.yaml`).href;
    return { url: importFrom(specifier, parent), place: `package ${specifier}` };
  }
  const path = isUrl ? fileURLToPath(specifier) : resolve(baseDirectory, specifier);
  if (!existsSync(path)) {
    const problem: FieldProblem = { field: 'file', expected: 'a file that exists', received: path };
    throw pluginError('PLUGIN_LOAD_FAILED', { name: specifier, source: `named in ${reference.namedIn}` }, problem);
  }
  return { url: pathToFileURL(path).href, place: path };
}

function loadFailure(reference: PluginReference, source: string, cause: unknown): HyperplugError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `plugin ${reference.specifier} (${source}): import failed: ${reason}`;
  return new HyperplugError('PLUGIN_LOAD_FAILED', message, {
    cause,
    details: { plugin: reference.specifier, source, field: 'plugins', reason },
  });
}
