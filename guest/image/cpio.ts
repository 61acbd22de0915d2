/**
 * Writer of the newc cpio format, the kernel's initramfs format (Documentation/driver-api/early-userspace/buffer-format.rst).
 * The same entries give the same bytes: times are 0, inode numbers count up, owners are root.
 */

export type CpioEntry =
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'character-device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = { directory: 0o040000, file: 0o100000, symlink: 0o120000, 'character-device': 0o020000 } as const;
const TRAILER = 'TRAILER!!!';
const PATH_MAX = 4096;

/**
 * An archive of `entries` in this order. Paths are relative (`bin/sh`), unique, and come after their directories.
 * @throws TypeError otherwise.
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const directories = new Set<string>(['']);
  const seen = new Set<string>();
  const parts: Buffer[] = [];
  for (const [index, entry] of entries.entries()) {
    checkPath(entry.path, directories, seen);
    if (entry.kind === 'directory') directories.add(entry.path);
    const data = content(entry);
    const mode = TYPE_BITS[entry.kind] | (entry.kind === 'symlink' ? 0o777 : entry.mode & 0o7777);
    const [major, minor] = entry.kind === 'character-device' ? [entry.major, entry.minor] : [0, 0];
    parts.push(header(index + 1, mode, entry.kind === 'directory' ? 2 : 1, data.length, major, minor, entry.path));
    parts.push(data, padding(data.length));
  }
  parts.push(header(0, 0, 1, 0, 0, 0, TRAILER));
  return Buffer.concat(parts);
}

function content(entry: CpioEntry): Buffer {
  if (entry.kind === 'file')
    return Buffer.from(entry.content.buffer, entry.content.byteOffset, entry.content.byteLength);
  return entry.kind === 'symlink' ? Buffer.from(entry.target) : Buffer.alloc(0);
}

function checkPath(path: string, directories: ReadonlySet<string>, seen: Set<string>): void {
  const parts = path.split('/');
  const malformed = path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..');
  if (malformed || path === TRAILER || Buffer.byteLength(path) >= PATH_MAX) {
    throw new TypeError(`cpio: not a relative path: ${JSON.stringify(path)}`);
  }
  if (seen.has(path)) throw new TypeError(`cpio: ${path} comes twice`);
  const parent = parts.slice(0, -1).join('/');
  if (!directories.has(parent)) throw new TypeError(`cpio: ${path} comes before its directory`);
  seen.add(path);
}

function header(
  inode: number,
  mode: number,
  links: number,
  size: number,
  major: number,
  minor: number,
  path: string,
): Buffer {
  const name = Buffer.from(`${path}\0`);
  // magic, then: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name.length, 0];
  const text = `070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([Buffer.from(text, 'latin1'), name, padding(text.length + name.length)]);
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
