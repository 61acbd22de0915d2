import { lstat, mkdtemp, realpath, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { explainSystemError } from '../../system-error.js';
import { type UnpackedEntry, unpack } from '../../tar/unpack.js';
import { failed } from './copy-in.js';
import { GuestTar, isMissing } from './guest-tar.js';
import type { CopyMeans } from './handle-files.js';
import { type ExtractLimits, HostExtractor } from './host-extractor.js';
import { guestPath, hostPath, type NamedPath, parts } from './paths.js';
import type { CopyOutOptions, CopyReport } from './types.js';

const DEFAULT_MAX_BYTES = 64 * 1024 ** 3;
const DEFAULT_MAX_ENTRIES = 1_000_000;

/** See PodFiles.copyOut(). */
export async function copyOut(
  means: CopyMeans,
  from: string,
  to: string,
  options: CopyOutOptions,
): Promise<CopyReport> {
  const { maxBytes = DEFAULT_MAX_BYTES, maxEntries = DEFAULT_MAX_ENTRIES } = options;
  const tar = new GuestTar(means.exec, options);
  const given = guestPath(from);
  const source = options.followLink ? { ...guestPath(await tar.resolve(given.path)), ...kind(given) } : given;
  try {
    const into = await destination(to, source);
    const archive = source.contents ? tar.create(source.path, '.') : tar.create(source.parent, source.name);
    try {
      return await take(unpack(archive), source, into, { maxBytes, maxEntries });
    } catch (error) {
      if (!isMissing(error) || source.contents) throw error;
      return await take(wholeFile(means, source, options), source, into, { maxBytes, maxEntries });
    }
  } catch (error) {
    throw explainSystemError(error, to);
  }
}

const kind = ({ contents, slash }: NamedPath) => ({ contents, slash });

interface Destination {
  /** A directory that is there. */
  readonly parent: string;
  /** What the copy is called in it; undefined: its contents go into `parent` itself. */
  readonly name: string | undefined;
  /** What is there already under this name. */
  readonly existing: 'nothing' | 'directory' | 'file';
  /** It was written with a slash: only a directory may come there. */
  readonly directoryOnly: boolean;
}

async function destination(to: string, source: NamedPath): Promise<Destination> {
  const target = hostPath(to, resolve(to));
  const there = await stat(target.path).catch(() => undefined);
  if (there?.isDirectory()) {
    const parent = await realpath(target.path);
    if (source.contents) return { parent, name: undefined, existing: 'directory', directoryOnly: true };
    return { parent, name: source.name, existing: await existing(join(parent, source.name)), directoryOnly: false };
  }
  if (there && (target.slash || source.contents)) throw failed(`${to}: expected a directory, it is a file`);
  const parent = await realpath(target.parent);
  return {
    parent,
    name: target.name,
    existing: await existing(join(parent, target.name)),
    directoryOnly: target.slash || source.contents,
  };
}

async function existing(path: string): Promise<Destination['existing']> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return 'nothing';
  return found.isDirectory() ? 'directory' : 'file';
}

/** Into a directory that is there entry by entry; what is new grows beside its place and is moved there in one step. */
async function take(
  entries: AsyncGenerator<UnpackedEntry>,
  source: NamedPath,
  { parent, name, existing: there, directoryOnly }: Destination,
  limits: ExtractLimits,
): Promise<CopyReport> {
  const merges = name === undefined || there === 'directory';
  const root = merges ? parent : await mkdtemp(join(parent, '.hyperplug-copy-'));
  try {
    const extractor = new HostExtractor(root, limits);
    // Under its own name in the archive; `.` for what is in a directory.
    const placed = (text: string): string[] => {
      const [first, ...rest] = parts(text);
      if (source.contents)
        return [...(name === undefined ? [] : [name]), ...(first === undefined ? [] : [first, ...rest])];
      if (first !== source.name)
        throw failed(`archive: expected names below ${source.name}, got ${JSON.stringify(text)}`);
      return [name as string, ...rest];
    };
    let first = true;
    for await (const entry of entries) {
      const path = placed(entry.path);
      if (first) checkKind(entry, there, directoryOnly, join(parent, name ?? ''));
      first = false;
      if (path.length > 0) await extractor.put(path, entry, entry.type === 'hardlink' ? placed(entry.target) : []);
    }
    if (first) throw failed(`${source.path}: the guest sent nothing`);
    await extractor.finish();
    const { report } = extractor.tally;
    const made = report.files + report.directories + report.links > 0;
    if (!merges && made) await rename(join(root, name as string), join(parent, name as string));
    return report;
  } finally {
    await entries.return(undefined).catch(() => {});
    if (!merges) await rm(root, { recursive: true, force: true });
  }
}

function checkKind(entry: UnpackedEntry, there: Destination['existing'], directoryOnly: boolean, path: string): void {
  const isDirectory = entry.type === 'directory';
  if (directoryOnly && !isDirectory) throw failed(`${path}: expected a directory of the host, there is none`);
  if (isDirectory && there === 'file') throw failed(`${path}: expected a directory, there is a file`);
  if (!isDirectory && there === 'directory') throw failed(`${path}: expected a file, there is a directory`);
}

/** For a guest without tar: one file, as its agent reads it; its mode is not known. */
async function* wholeFile(
  { files }: CopyMeans,
  { path, name }: NamedPath,
  { signal, timeoutMs, container }: CopyOutOptions,
): AsyncGenerator<UnpackedEntry> {
  const content = await files.read(path, { signal, timeoutMs, ...(container !== undefined && { container }) });
  yield {
    path: name,
    type: 'file',
    mode: 0o644,
    sizeBytes: content.length,
    modifiedAt: Date.now() / 1000,
    uid: 0,
    gid: 0,
    target: '',
    content: (async function* () {
      yield content;
    })(),
  };
}
