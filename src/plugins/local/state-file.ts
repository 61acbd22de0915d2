import { closeSync, constants, fstatSync, openSync, readSync, statfsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as os } from 'node:os';
import { dirname } from 'node:path';
import { getSystemErrorName } from 'node:util';
import type { RootDatabase } from 'lmdb';
import { HyperplugError, isHyperplugError } from '../../core/errors.js';
import { closeOnExec } from '../../host/close-on-exec.js';
import { ensureDirectory } from '../../host/paths.js';

export type Database = RootDatabase<Buffer, Buffer>;

/** Address space, not memory or disk; fixed, so that no process ever has to remap under another's growth. */
const MAP_BYTES = 4 * 2 ** 30;
const MAX_READERS = 1024;
/** Bytes that must be free for a commit. */
const ROOM_OF_PUTS = 64 * 1024;
const ROOM_OF_REMOVALS = 16 * 1024;

/** STATE_UNAVAILABLE with the system's reason, unless it is one of our errors already. */
export function unavailable(path: string, error: unknown): HyperplugError {
  if (isHyperplugError(error) && error.code.startsWith('STATE_')) return error;
  const code = (error as { code?: unknown }).code;
  const name = typeof code === 'number' && code > 0 ? getSystemErrorName(-code) : undefined;
  // LMDB's own words go on with addresses of its buffers.
  const message = (error instanceof Error ? error.message : String(error)).replace(
    /: Attempting to write page .*$/s,
    '',
  );
  const reason = `${name ? `${message} (${name})` : message}${name === 'EIO' || name === 'ENOSPC' ? freeSpace(path) : ''}`;
  return new HyperplugError('STATE_UNAVAILABLE', `state store ${path}: ${reason}`, {
    cause: error,
    details: { path, reason, ...(isHyperplugError(error) ? error.details : {}) },
  });
}

/** LMDB reports a short write as EIO, be the disk broken or full. */
function freeSpace(path: string): string {
  try {
    return `; free space there: ${freeBytes(path)} bytes`;
  } catch {
    return '';
  }
}

/** What this user may write. */
function freeBytes(path: string): number {
  const { bavail, bfree, bsize } = statfsSync(dirname(path));
  return (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
}

/**
 * Before a commit. LMDB should not find out that the disk is full: lmdb-js then writes its words past the end of a buffer (100
 * bytes for sizes that it never set), which may end the process. How much a commit takes is not known before: the file has
 * free pages of its own.
 * @throws an error with the code of ENOSPC.
 */
export function ensureRoom(path: string, writes: Iterable<readonly [string, Uint8Array | null]>): void {
  // What only removes makes room, and may have the last there is.
  const needed = [...writes].some(([, value]) => value !== null) ? ROOM_OF_PUTS : ROOM_OF_REMOVALS;
  if (freeBytes(path) >= needed) return;
  throw Object.assign(new Error(`expected room for ${needed} bytes`), { code: os.errno.ENOSPC });
}

/** Makes the store's directory, or checks the one that is there. @throws STATE_UNAVAILABLE. */
export function prepareDirectory(path: string): void {
  try {
    ensureDirectory(dirname(path), 0o700);
  } catch (error) {
    throw unavailable(path, error);
  }
}

/**
 * Opens or makes the LMDB file at `path`, mode 0600. The caller has prepared its directory and holds the store's lock.
 * @throws STATE_CORRUPT when there is another kind of file, STATE_UNAVAILABLE.
 */
export function openDatabase(path: string, mapBytes = MAP_BYTES): Database {
  try {
    checkHeader(path);
    // LMDB would make them 0644.
    for (const file of [path, `${path}-lock`]) makeFile(file);
    // On first use, and by require: its CommonJS bundle loads in two thirds of the time.
    const { open } = createRequire(import.meta.url)('lmdb') as typeof import('lmdb');
    const database = open<Buffer, Buffer>({
      path,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      // A commit returns when it is on disk; the other mode would report it earlier.
      overlappingSync: false,
      mapSize: mapBytes,
      maxReaders: MAX_READERS,
      maxDbs: 1,
    });
    // LMDB leaves one to be inherited for writing: by hypervisors, whose user may not so much as read the file.
    closeOnExec(path);
    return database;
  } catch (error) {
    throw unavailable(path, error);
  }
}

/**
 * The file as it is, where it cannot be written: on a file system that is read-only, LMDB reads without its lock file. A
 * store that would have to be made or migrated first is refused. @throws STATE_CORRUPT, STATE_UNAVAILABLE.
 */
export function openReadOnly(path: string): Database {
  try {
    checkHeader(path);
    const { open } = createRequire(import.meta.url)('lmdb') as typeof import('lmdb');
    return open<Buffer, Buffer>({
      path,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      readOnly: true,
      maxReaders: MAX_READERS,
    });
  } catch (error) {
    throw unavailable(path, error);
  }
}

/** Whether `error` says that the file system is read-only. */
export function isReadOnly(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ((at as NodeJS.ErrnoException).code === 'EROFS') return true;
  }
  return false;
}

/**
 * One that is there is not opened: to close it would drop the fcntl(2) locks of this process on it, by which LMDB tells that
 * its readers live, if the store is open here already.
 */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Layout of a meta page in LMDB's data format 2 (lmdb.h and mdb.c of LMDB 0.9.90): offsets in bytes. */
const META = { magic: 24, version: 28, pageSize: 48, freeRoot: 88, mainRoot: 136, transaction: 152, end: 160 };
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const NO_PAGE = 2n ** 64n - 1n;

/**
 * Refuses what LMDB would crash on instead of reporting: files that are no LMDB files, or cut off.
 * @throws STATE_CORRUPT; the file is left as it is.
 */
function checkHeader(path: string): void {
  const file = readStart(path);
  if (!file || file.sizeBytes === 0) return;
  const bad = (what: string) =>
    new HyperplugError('STATE_CORRUPT', `state store ${path}: ${what}; it was left as it is`, { details: { path } });
  if (file.sizeBytes < 2 * META.end) throw bad(`${file.sizeBytes} bytes are too few for a store`);
  const { bytes } = file;
  if (bytes.readUInt32LE(META.magic) !== MAGIC) throw bad('it is no LMDB file');
  const version = bytes.readUInt32LE(META.version);
  if (version !== DATA_VERSION) throw bad(`it has LMDB's data format ${version}, expected ${DATA_VERSION}`);
  const pageSize = bytes.readUInt32LE(META.pageSize);
  if (pageSize < 512 || pageSize > 65_536 || bytes.length < pageSize + META.end) throw bad('its page size is wrong');
  const second = bytes.subarray(pageSize);
  if (second.readUInt32LE(META.magic) !== MAGIC) throw bad('its second meta page is broken');
  const newer = second.readBigUInt64LE(META.transaction) > bytes.readBigUInt64LE(META.transaction) ? second : bytes;
  const pages = BigInt(Math.floor(file.sizeBytes / pageSize));
  for (const root of [META.freeRoot, META.mainRoot]) {
    const page = newer.readBigUInt64LE(root);
    if (page !== NO_PAGE && page >= pages) throw bad('it was cut off');
  }
}

function readStart(path: string): { readonly bytes: Buffer; readonly sizeBytes: number } | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(65_536 + META.end);
    const length = readSync(fd, bytes, 0, bytes.length, 0);
    return { bytes: bytes.subarray(0, length), sizeBytes: fstatSync(fd).size };
  } finally {
    closeSync(fd);
  }
}
