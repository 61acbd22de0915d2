import { HyperplugError } from '../errors.js';

/** POSIX.1-1988 ustar with the extensions of GNU tar that busybox, toybox and libarchive read, too (tar(5) of libarchive). */
export const BLOCK_BYTES = 512;

export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character-device' | 'block-device';

export interface TarHeader {
  /** Relative or not, as it stands in the archive, without slashes at its end. */
  readonly path: string;
  readonly type: TarType;
  /** Permission bits, those of setuid, setgid and sticky among them. */
  readonly mode: number;
  /** Of a file's content; else 0. */
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  readonly uid: number;
  readonly gid: number;
  /** Of links. */
  readonly target: string;
  /** Extended attributes, by name (`security.capability`), as pax headers have them; missing: none. */
  readonly xattrs?: ReadonlyMap<string, Buffer>;
}

const TYPE_FLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};
const FLAG_TYPES: ReadonlyMap<string, TarType> = new Map([
  ...Object.entries(TYPE_FLAGS).map(([type, flag]) => [flag, type as TarType] as const),
  ['\0', 'file'],
  ['7', 'file'],
]);

/** Offset and length, in the order of the header. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  flag: [156, 1],
  linkName: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const;
const POSIX_MAGIC = 'ustar\x0000';

export function tarError(what: string): HyperplugError {
  return new HyperplugError('POD_COPY_FAILED', `archive: ${what}`);
}

/** A number's field: octal, or base 256 where that is too small (GNU). */
function putNumber(block: Buffer, [offset, length]: readonly [number, number], value: number): void {
  const text = value.toString(8);
  if (text.length < length) {
    block.write(text.padStart(length - 1, '0'), offset, 'latin1');
    return;
  }
  let rest = BigInt(value);
  for (let at = offset + length - 1; at > offset; at--) {
    block[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  block[offset] = 0x80;
}

/** @throws POD_COPY_FAILED */
function number(block: Buffer, [offset, length]: readonly [number, number], what: string): number {
  const first = block[offset] as number;
  if (first & 0x80) {
    let value = BigInt(first & 0x7f);
    for (let at = offset + 1; at < offset + length; at++) value = (value << 8n) | BigInt(block[at] as number);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw tarError(`${what}: expected at most 2^53, got ${value}`);
    return Number(value);
  }
  const digits = text(block, [offset, length]).trim();
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw tarError(`${what}: expected octal digits, got ${JSON.stringify(digits)}`);
  return Number.parseInt(digits, 8);
}

/** Up to the first NUL. */
function text(block: Buffer, [offset, length]: readonly [number, number]): string {
  const end = block.indexOf(0, offset);
  return block.toString('utf8', offset, end === -1 || end > offset + length ? offset + length : end);
}

function checksum(block: Buffer): number {
  const [start, length] = FIELD.checksum;
  let sum = 0x20 * length;
  for (let at = 0; at < BLOCK_BYTES; at++) if (at < start || at >= start + length) sum += block[at] as number;
  return sum;
}

function block(flag: string, header: Omit<TarHeader, 'type'>, name: Buffer, target: Buffer): Buffer {
  const made = Buffer.alloc(BLOCK_BYTES);
  name.copy(made, FIELD.name[0], 0, FIELD.name[1]);
  target.copy(made, FIELD.linkName[0], 0, FIELD.linkName[1]);
  putNumber(made, FIELD.mode, header.mode & 0o7777);
  putNumber(made, FIELD.uid, header.uid);
  putNumber(made, FIELD.gid, header.gid);
  putNumber(made, FIELD.size, header.sizeBytes);
  putNumber(made, FIELD.mtime, Math.max(0, Math.floor(header.modifiedAt)));
  made.write(flag, FIELD.flag[0], 'latin1');
  made.write(POSIX_MAGIC, FIELD.magic[0], 'latin1');
  made.write(`${checksum(made).toString(8).padStart(6, '0')}\0 `, FIELD.checksum[0], 'latin1');
  return made;
}

export const padding = (sizeBytes: number): number => (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;

/** A pax header, as GNU tar and libarchive write it. */
function attributes({ xattrs }: TarHeader): Buffer[] {
  if (!xattrs || xattrs.size === 0) return [];
  const records = [...xattrs].map(([name, value]) => {
    const rest = Buffer.concat([Buffer.from(` SCHILY.xattr.${name}=`), value, Buffer.from('\n')]);
    // The length counts its own digits.
    let length = rest.length + 1;
    while (rest.length + String(length).length > length) length = rest.length + String(length).length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  const body = Buffer.concat(records);
  const plain = { path: '', mode: 0o644, sizeBytes: body.length, modifiedAt: 0, uid: 0, gid: 0, target: '' };
  const label = block('x', plain, Buffer.from('./PaxHeaders'), Buffer.alloc(0));
  return [label, body, Buffer.alloc(padding(body.length))];
}

/** All blocks before an entry's content; names that are too long for a header go before it, as GNU tar has them. */
export function encodeHeader(header: TarHeader): Buffer {
  const name = Buffer.from(header.type === 'directory' ? `${header.path}/` : header.path);
  const target = Buffer.from(header.target);
  const long = (flag: string, value: Buffer): Buffer[] => {
    if (value.length <= FIELD.name[1]) return [];
    const sizeBytes = value.length + 1;
    const plain = { path: '', mode: 0o644, sizeBytes, modifiedAt: 0, uid: 0, gid: 0, target: '' };
    const label = block(flag, plain, Buffer.from('././@LongLink'), Buffer.alloc(0));
    return [label, value, Buffer.alloc(1 + padding(sizeBytes))];
  };
  return Buffer.concat([
    ...attributes(header),
    ...long('K', target),
    ...long('L', name),
    block(TYPE_FLAGS[header.type], header, name, target),
  ]);
}

export interface RawHeader extends Omit<TarHeader, 'type'> {
  /** Undefined: of a kind of its own, see `flag`. */
  readonly type: TarType | undefined;
  readonly flag: string;
}

/** undefined: a block of zeros, the archive's end. @throws POD_COPY_FAILED */
export function decodeHeader(bytes: Buffer): RawHeader | undefined {
  if (bytes.every((byte) => byte === 0)) return undefined;
  const told = number(bytes, FIELD.checksum, 'checksum');
  if (told !== checksum(bytes))
    throw tarError(`expected a header, its checksum ${checksum(bytes)} is told to be ${told}`);
  const flag = text(bytes, FIELD.flag) || '\0';
  const prefix = bytes.toString('latin1', 257, 263) === 'ustar\0' ? text(bytes, FIELD.prefix) : '';
  const name = text(bytes, FIELD.name);
  const path = prefix === '' ? name : `${prefix}/${name}`;
  // Before 1988 a directory was a file whose name ends so.
  const type = FLAG_TYPES.get(flag) === 'file' && path.endsWith('/') ? 'directory' : FLAG_TYPES.get(flag);
  const sizeBytes = number(bytes, FIELD.size, 'size');
  return {
    path,
    type,
    flag,
    mode: number(bytes, FIELD.mode, 'mode') & 0o7777,
    sizeBytes,
    modifiedAt: number(bytes, FIELD.mtime, 'time'),
    uid: number(bytes, FIELD.uid, 'uid'),
    gid: number(bytes, FIELD.gid, 'gid'),
    target: text(bytes, FIELD.linkName),
  };
}
