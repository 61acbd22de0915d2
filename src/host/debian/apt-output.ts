/** What apt prints, read strictly: names and versions become file names and arguments. */
import { HyperplugError } from '../../core/errors.js';

/** One package in one version. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** A .deb as `apt-get download --print-uris` announces it. */
export interface PackageFile {
  readonly fileName: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

// Debian Policy 5.6.1, 5.6.12
const NAME = /^[a-z0-9][a-z0-9+.-]+$/;
const VERSION = /^[0-9A-Za-z][0-9A-Za-z.+~:-]*$/;
const ARCHITECTURE = /^[a-z0-9-]+$/;

export function checkedPackage(name: string, version: string, architecture: string): PackageVersion {
  if (!NAME.test(name) || !VERSION.test(version) || !ARCHITECTURE.test(architecture)) {
    throw new HyperplugError(
      'HOST_COMMAND_FAILED',
      `apt: not a package: ${JSON.stringify({ name, version, architecture })}`,
    );
  }
  return { name, version, architecture };
}

/** `Inst NAME [OLD] (NEW ORIGIN [ARCH]) []` lines of `apt-get --simulate install`. */
export function parseSimulation(stdout: string): PackageVersion[] {
  const found: PackageVersion[] = [];
  for (const line of stdout.split('\n')) {
    if (!line.startsWith('Inst ')) continue;
    const match = /^Inst (\S+) (?:\[\S+\] )?\((\S+) .*\[(\S+)\]\)/.exec(line);
    if (!match) throw new HyperplugError('HOST_COMMAND_FAILED', `apt-get --simulate: cannot read: ${line}`);
    found.push(checkedPackage(match[1]!.replace(/:.*$/, ''), match[2]!, match[3]!));
  }
  return found;
}

/** Stanzas of `apt-cache show`: field (lower case) → value, continuation lines left out. */
export function parseStanzas(stdout: string): ReadonlyMap<string, string>[] {
  return stdout
    .split(/\n\s*\n/)
    .filter((stanza) => stanza.trim() !== '')
    .map((stanza) => {
      const fields = new Map<string, string>();
      for (const line of stanza.split('\n')) {
        const match = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
        if (match) fields.set(match[1]!.toLowerCase(), match[2]!);
      }
      return fields;
    });
}

/** Package names a Depends field requires, first alternatives only. */
export function dependencyNames(depends: string): string[] {
  return depends
    .split(',')
    .map((clause) =>
      clause
        .split('|')[0]!
        .trim()
        .replace(/[\s:(].*$/, ''),
    )
    .filter((name) => NAME.test(name));
}

/** Lines `'URI' FILE BYTES SHA256:HEX`. */
export function parseUris(stdout: string): PackageFile[] {
  const files: PackageFile[] = [];
  for (const line of stdout.split('\n')) {
    if (!line.startsWith("'")) continue;
    const match = /^'[^']+' ([A-Za-z0-9][A-Za-z0-9.+~%_-]*\.deb) (\d+) SHA256:([0-9a-f]{64})$/.exec(line.trim());
    if (!match) throw new HyperplugError('HOST_COMMAND_FAILED', `apt-get --print-uris: cannot read: ${line}`);
    files.push({ fileName: match[1]!, bytes: Number(match[2]), sha256: match[3]! });
  }
  return files;
}

/** The percentage of a `dlstatus:N:PERCENT:TEXT` line of APT::Status-Fd; undefined: another line. */
export function parseDownloadStatus(line: string): number | undefined {
  const match = /^dlstatus:\d+:([0-9.]+):/.exec(line);
  const percent = match ? Number(match[1]) : Number.NaN;
  return Number.isFinite(percent) ? Math.min(100, percent) : undefined;
}
