import { readFile } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { HyperplugError } from '../errors.js';
import { parseJson } from './parse-json.js';
import { parseYaml } from './parse-yaml.js';
import type { ConfigNode } from './tree.js';

export interface ConfigPlaces {
  /** Absolute: where `./hyperplug.yaml` is looked for. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** Of `--config`; before HYPERPLUG_CONFIG. Relative: to `cwd`. */
  readonly explicitPath?: string | undefined;
  /** Default: /etc/hyperplug. */
  readonly systemDirectory?: string | undefined;
}

export interface ConfigFile {
  /** Absolute. */
  readonly path: string;
  readonly tree: ConfigNode;
}

const NAMES = ['hyperplug.yaml', 'hyperplug.yml', 'hyperplug.json'];
const MAX_BYTES = 1024 * 1024;

/**
 * The configuration files there are, the most general first: the system's, the user's, and the named one, or without it
 * that of the current directory.
 * @throws CONFIG_NOT_FOUND a named file does not exist, or one that exists cannot be read; CONFIG_SYNTAX; CONFIG_INVALID
 * two files in one place.
 */
export async function readConfigFiles(places: ConfigPlaces): Promise<readonly ConfigFile[]> {
  const { cwd, env, home, explicitPath } = places;
  const xdg = env.XDG_CONFIG_HOME;
  const user = join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(home, '.config'), 'hyperplug');
  const named = explicitPath ?? (env.HYPERPLUG_CONFIG || undefined);
  const asked = explicitPath === undefined ? 'HYPERPLUG_CONFIG' : '--config';
  const files = [
    await readFrom(places.systemDirectory ?? '/etc/hyperplug'),
    await readFrom(user),
    named === undefined ? await readFrom(cwd) : await readNamed(resolve(cwd, named), asked),
  ].filter((file) => file !== undefined);
  // One that is found in two places counts where it counts most.
  return files.filter((file, index) => !files.slice(index + 1).some((later) => later.path === file.path));
}

async function readFrom(directory: string): Promise<ConfigFile | undefined> {
  const found: ConfigFile[] = [];
  for (const name of NAMES) {
    const path = join(directory, name);
    const text = await readText(path);
    if (text !== undefined) found.push({ path, tree: await parse(text, path) });
  }
  if (found.length > 1) {
    const paths = found.map(({ path }) => path);
    const message = `configuration: expected one file in ${directory}, got ${paths.join(' and ')}; keep one of them`;
    throw new HyperplugError('CONFIG_INVALID', message, { details: { paths } });
  }
  return found[0];
}

async function readNamed(path: string, asked: string): Promise<ConfigFile> {
  const text = await readText(path);
  if (text !== undefined) return { path, tree: await parse(text, path) };
  throw new HyperplugError('CONFIG_NOT_FOUND', `${asked}: expected a file that exists, got ${path}`, {
    details: { field: asked, expected: 'a file that exists', received: path },
  });
}

async function readText(path: string): Promise<string | undefined> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    const reason = code === 'EISDIR' ? 'it is a directory' : message;
    throw new HyperplugError('CONFIG_NOT_FOUND', `configuration ${path}: cannot be read: ${reason}`, {
      cause,
      details: { path, reason },
    });
  }
  if (content.length > MAX_BYTES) {
    throw new HyperplugError(
      'CONFIG_SYNTAX',
      `configuration ${path}: expected at most 1 MiB, got ${content.length} bytes`,
      {
        details: { path, expected: MAX_BYTES, received: content.length },
      },
    );
  }
  return content.toString('utf8');
}

/** By its name: `.json` is JSON, anything else YAML. */
const parse = async (text: string, path: string): Promise<ConfigNode> =>
  path.endsWith('.json') ? parseJson(text, path) : parseYaml(text, path);
