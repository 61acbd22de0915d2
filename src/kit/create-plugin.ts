import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fieldError, HyperplugError } from '../core/errors.js';
import { type AnyPlugin, PLUGIN_KINDS } from '../core/plugin.js';
import { PLUGIN_NAME, PLUGIN_NAME_WORDS, RESERVED_PLUGIN_NAMES } from '../core/registry/check-plugin.js';
import { UndoStack } from '../core/undo.js';
import { packageFiles } from './package-files.js';
import { type PluginPackage, packageName } from './package-json.js';
import { TEST_RUNNERS } from './runners.js';

export interface CreatePluginOptions extends PluginPackage {
  /** Where it is made: absent or empty. Default: `hyperplug-NAME` in the current directory. */
  readonly directory?: string | undefined;
  /** Plugins that there are: it may have no name that one of its kind has. */
  readonly taken: readonly Pick<AnyPlugin, 'kind' | 'name'>[];
}

export interface CreatedPlugin {
  readonly directory: string;
  /** Relative to it, sorted. */
  readonly files: readonly string[];
}

/**
 * Makes a package with a working skeleton of a plugin, its contract test and its docs. On rejection nothing remains of it.
 * @throws PLUGIN_INVALID naming the field; PLUGIN_NAME_TAKEN; PLUGIN_FOLDER_TAKEN; HOST_IO.
 */
export async function createPlugin(options: CreatePluginOptions): Promise<CreatedPlugin> {
  checkNames(options);
  const directory = resolve(options.directory ?? packageName(options.name));
  await checkFree(directory);
  const files = await packageFiles(options);
  const undo = new UndoStack();
  try {
    for (const [path, text] of files) await writeNew(join(directory, path), text, undo);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const error = new HyperplugError('HOST_IO', `${directory}: could not be written: ${reason}`, { cause });
    throw await undo.fail('HOST_IO', `making ${directory}`, error);
  }
  return { directory, files: [...files.keys()].sort() };
}

function checkNames({ kind, name, testRunner, taken }: CreatePluginOptions): void {
  const oneOf = (field: string, value: string, all: readonly string[]) => {
    if (!all.includes(value)) throw fieldError('PLUGIN_INVALID', field, `one of ${all.join(', ')}`, value);
  };
  oneOf('kind', kind, PLUGIN_KINDS);
  oneOf('test-runner', testRunner, TEST_RUNNERS);
  if (!PLUGIN_NAME.test(name)) throw fieldError('PLUGIN_INVALID', 'name', PLUGIN_NAME_WORDS, name);
  if (RESERVED_PLUGIN_NAMES.includes(name)) {
    throw fieldError('PLUGIN_INVALID', 'name', `a name other than ${RESERVED_PLUGIN_NAMES.join(', ')}`, name);
  }
  // It could be made and tested, and never loaded.
  const names = taken.filter((plugin) => plugin.kind === kind).map((plugin) => plugin.name);
  if (names.includes(name)) {
    const expected = `a name that no other ${kind} plugin has (${names.join(', ')})`;
    throw fieldError('PLUGIN_NAME_TAKEN', 'name', expected, name);
  }
}

async function checkFree(directory: string): Promise<void> {
  let there: readonly string[];
  try {
    there = await readdir(directory);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return;
    if (code !== 'ENOTDIR') throw new HyperplugError('HOST_IO', `${directory}: ${message}`, { cause });
    there = ['a file of that name'];
  }
  if (there.length === 0) return;
  throw fieldError('PLUGIN_FOLDER_TAKEN', 'dir', `an empty folder, or none (it holds ${there[0]})`, directory);
}

/** Never over a file that is there. */
async function writeNew(path: string, text: string, undo: UndoStack): Promise<void> {
  const made = await mkdir(dirname(path), { recursive: true });
  if (made !== undefined) undo.push(`folder ${made}`, () => rm(made, { recursive: true, force: true }));
  const file = await open(path, 'wx');
  undo.push(`file ${path}`, () => rm(path, { force: true }));
  try {
    await file.writeFile(text);
  } finally {
    await file.close();
  }
}
