import { chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fieldError, HyperplugError } from '../../core/errors.js';
import { type CommandResult, runCommand } from '../command.js';
import { hasRoot, isRootOfItselfAlone } from '../privilege.js';
import { DUMP_FORMAT, privateAptConfig } from './apt-config.js';
import {
  checkedPackage,
  dependencyNames,
  type PackageFile,
  type PackageVersion,
  parseDownloadStatus,
  parseSimulation,
  parseStanzas,
  parseUris,
} from './apt-output.js';

const SYSTEM_STATUS = '/var/lib/dpkg/status';
const LISTS_FRESH_MS = 24 * 3_600_000;
const UPDATE_TIMEOUT_MS = 300_000;
const DOWNLOAD_TIMEOUT_MS = 900_000;

/**
 * apt with everything it writes in a folder of ours: works without root and where the machine's own package lists are
 * empty, and changes nothing of the machine's. Not for concurrent use; its owner holds a lock.
 */
export class PrivateApt {
  private readonly folder: string;
  private readonly signal: AbortSignal;
  private updateWarnings = '';

  /** @param folder absolute; made if missing. */
  constructor(folder: string, signal: AbortSignal) {
    if (/["\n]/.test(folder)) throw fieldError('CONFIG_INVALID', 'cacheDir', 'a path without quotes', folder);
    this.folder = folder;
    this.signal = signal;
  }

  /** Fetches the package lists unless they are fresh. A source that fails is tolerated as long as others answer. */
  async update(force: boolean): Promise<boolean> {
    await this.prepare();
    if (!force && (await this.listsAreFresh())) return false;
    const result = await this.apt('system', ['apt-get', '-q', 'update'], UPDATE_TIMEOUT_MS, [0, 100]);
    this.updateWarnings = result.stderr.trim();
    const lists = await readdir(join(this.folder, 'lists'));
    if (!lists.some((name) => /_Packages(\.[a-z0-9]+)?$/.test(name))) {
      throw new HyperplugError('HOST_COMMAND_FAILED', `apt-get update: no package list came: ${this.lastWarnings()}`, {
        details: { stderrTail: this.updateWarnings.slice(-4096) },
      });
    }
    if (result.exitCode === 0 && !/Failed to fetch/.test(result.stderr))
      await writeFile(join(this.folder, 'updated'), '');
    return true;
  }

  /** What would have to be added to this machine for `names` to work, them included, in the versions apt prefers. */
  async resolveWithDependencies(names: readonly string[]): Promise<PackageVersion[]> {
    const argv = ['apt-get', '-q', '--simulate', '--no-install-recommends', '--reinstall', 'install', ...names];
    let result: CommandResult;
    try {
      result = await this.apt('system', argv);
    } catch {
      // What is installed here may be newer than, or held against, what the sources offer: then take everything new.
      result = await this.named(() => this.apt('empty', argv));
    }
    // libc and the machine's ld.so belong together, so the machine's libc is the one to use.
    return parseSimulation(result.stdout).filter(({ name }) => name !== 'libc6' && name !== 'libc-bin');
  }

  /** The named packages alone, in the versions apt prefers. */
  async resolveExactly(names: readonly string[]): Promise<PackageVersion[]> {
    const stanzas = await this.show(names);
    return names.map((name) => {
      const stanza = stanzas.find((fields) => fields.get('package') === name);
      if (!stanza) throw this.unknown(name);
      return checkedPackage(name, stanza.get('version') ?? '', stanza.get('architecture') ?? '');
    });
  }

  /** Names in the Depends field of a package. */
  async dependencies(name: string): Promise<string[]> {
    const [stanza] = await this.show([name]);
    if (!stanza) throw this.unknown(name);
    return dependencyNames(stanza.get('depends') ?? '');
  }

  /** One for each package. */
  async files(packages: readonly PackageVersion[]): Promise<PackageFile[]> {
    // In a folder that stays empty: apt leaves out what it finds in the working directory.
    const empty = join(this.folder, 'empty');
    await mkdir(empty, { recursive: true });
    const argv = ['apt-get', '-q', '--print-uris', 'download', ...packages.map(argument)];
    const files = parseUris((await this.apt('system', argv, undefined, [0], empty)).stdout);
    if (files.length !== packages.length) {
      const counts = `${files.length} files for ${packages.length} packages`;
      throw new HyperplugError('HOST_COMMAND_FAILED', `apt-get --print-uris: ${counts}`);
    }
    return files;
  }

  /** Downloads into debs(); apt checks each file against the signed lists. */
  async download(packages: readonly PackageVersion[], onPercent: (percent: number) => void): Promise<void> {
    const argv = ['apt-get', '-q', '-o', 'APT::Status-Fd=1', 'download', ...packages.map(argument)];
    await this.apt('system', argv, DOWNLOAD_TIMEOUT_MS, [0], await this.debs(), (line) => {
      const percent = parseDownloadStatus(line);
      if (percent !== undefined) onPercent(percent);
    });
  }

  /** Removes apt's binary caches: 70 MB that it makes again in a second. */
  async clean(): Promise<void> {
    for (const name of ['pkgcache.bin', 'srcpkgcache.bin']) await rm(join(this.folder, name), { force: true });
  }

  /** The folder that holds .deb files. */
  async debs(): Promise<string> {
    const folder = join(this.folder, 'archives');
    await mkdir(folder, { recursive: true });
    return folder;
  }

  private async show(names: readonly string[]): Promise<ReadonlyMap<string, string>[]> {
    const result = await this.named(() => this.apt('system', ['apt-cache', 'show', '--no-all-versions', ...names]));
    return parseStanzas(result.stdout);
  }

  /** Adds to a failed look-up what went wrong with the lists. */
  private async named(run: () => Promise<CommandResult>): Promise<CommandResult> {
    try {
      return await run();
    } catch (error) {
      if (this.updateWarnings === '' || this.signal.aborted) throw error;
      throw new HyperplugError(
        'HOST_COMMAND_FAILED',
        `${(error as Error).message}; before it: ${this.lastWarnings()}`,
        {
          cause: error,
        },
      );
    }
  }

  private unknown(name: string): HyperplugError {
    const why = this.updateWarnings === '' ? '' : `: ${this.lastWarnings()}`;
    return new HyperplugError('HOST_COMMAND_FAILED', `no configured apt source has the package ${name}${why}`);
  }

  private lastWarnings(): string {
    return this.updateWarnings.split('\n').slice(-3).join(' / ') || 'apt said nothing';
  }

  private async listsAreFresh(): Promise<boolean> {
    const updated = await stat(join(this.folder, 'updated')).catch(() => undefined);
    return updated !== undefined && Date.now() - updated.mtimeMs < LISTS_FRESH_MS;
  }

  private async prepare(): Promise<void> {
    await mkdir(join(this.folder, 'lists', 'partial'), { recursive: true });
    await mkdir(join(this.folder, 'archives', 'partial'), { recursive: true });
    await writeFile(join(this.folder, 'empty-status'), '');
    const { stdout } = await runCommand(['apt-config', 'dump', '--no-empty', '--format', DUMP_FORMAT], {
      signal: this.signal,
    });
    // In a user namespace of one user there is no other whom apt could become to download.
    const unboxed = isRootOfItselfAlone() ? 'APT::Sandbox::User "root";\n' : '';
    await writeFile(join(this.folder, 'system.conf'), privateAptConfig(stdout, this.folder, SYSTEM_STATUS) + unboxed);
    await writeFile(
      join(this.folder, 'empty.conf'),
      privateAptConfig(stdout, this.folder, join(this.folder, 'empty-status')) + unboxed,
    );
    if (hasRoot()) await this.letAptUserWrite(join(this.folder, 'archives'));
  }

  /** As root, apt downloads as the user _apt where that one can write. */
  private async letAptUserWrite(folder: string): Promise<void> {
    const uid = /^_apt:[^:]*:(\d+):/m.exec(await readFile('/etc/passwd', 'utf8'))?.[1];
    if (uid !== undefined) await chown(folder, Number(uid), 0);
  }

  private apt(
    status: 'system' | 'empty',
    argv: readonly string[],
    timeoutMs = 60_000,
    exitCodes: readonly number[] = [0],
    cwd = this.folder,
    onStdoutLine?: (line: string) => void,
  ): Promise<CommandResult> {
    return runCommand(argv, {
      signal: this.signal,
      timeoutMs,
      exitCodes,
      cwd,
      env: { APT_CONFIG: join(this.folder, `${status}.conf`), DEBIAN_FRONTEND: 'noninteractive' },
      ...(onStdoutLine ? { onStdoutLine } : {}),
    });
  }
}

function argument({ name, version, architecture }: PackageVersion): string {
  return architecture === 'all' ? `${name}=${version}` : `${name}:${architecture}=${version}`;
}
