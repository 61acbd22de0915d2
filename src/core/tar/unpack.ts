import { ByteSource } from './byte-source.js';
import {
  BLOCK_BYTES,
  decodeHeader,
  padding,
  type RawHeader,
  type TarHeader,
  type TarType,
  tarError,
} from './header.js';

/** After the end: programs fill up to a tape's record, of 10 KiB and seldom more. */
const MAX_FILLING_BYTES = 1024 * 1024;
/** Of a long name or a pax header: what PATH_MAX (4096) allows, and a few attributes. */
const MAX_EXTENSIONS = 16;
const MAX_EXTENSION_BYTES = 64 * 1024;

export interface UnpackedEntry extends TarHeader {
  /** A file's content; what is not taken of it is skipped with the next entry. */
  readonly content: AsyncIterable<Buffer>;
}

/**
 * The entries of an archive that may be anybody's: ustar, GNU's long names and big numbers, pax paths and sizes. Names are
 * as they stand there.
 * @throws POD_COPY_FAILED malformed, cut off, or of a kind that is not known.
 */
export async function* unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<UnpackedEntry, void, undefined> {
  const bytes = new ByteSource(source);
  let extensions: Extensions = {};
  let inRow = 0;
  try {
    for (;;) {
      const block = await bytes.read(BLOCK_BYTES);
      const header = block && decodeHeader(block);
      if (!header) {
        // The rest is filling; it is taken, so that who writes it can end.
        await bytes.drain(MAX_FILLING_BYTES);
        return;
      }
      if ('LKxg'.includes(header.flag)) {
        if (++inRow > MAX_EXTENSIONS) throw tarError('names and attributes without an entry');
        extensions = { ...extensions, ...(await extension(bytes, header)) };
        continue;
      }
      const entry = complete(header, extensions);
      extensions = {};
      inRow = 0;
      const content = bytes.take(entry.sizeBytes);
      yield { ...entry, content };
      for await (const _ of content);
      await bytes.skip(padding(entry.sizeBytes));
    }
  } finally {
    await bytes.close();
  }
}

interface Extensions {
  readonly path?: string;
  readonly target?: string;
  readonly sizeBytes?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly xattrs?: ReadonlyMap<string, Buffer>;
}

const XATTR = 'SCHILY.xattr.';

async function extension(bytes: ByteSource, { flag, sizeBytes }: RawHeader): Promise<Extensions> {
  if (sizeBytes > MAX_EXTENSION_BYTES) {
    throw tarError(`expected at most ${MAX_EXTENSION_BYTES} bytes of names and attributes, got ${sizeBytes}`);
  }
  const body = await bytes.read(sizeBytes + padding(sizeBytes));
  if (!body) throw tarError('it is cut off');
  const content = body.subarray(0, sizeBytes);
  if (flag === 'g') return {};
  if (flag === 'x') return pax(content);
  const name = content.toString('utf8').replace(/\0.*$/s, '');
  return flag === 'L' ? { path: name } : { target: name };
}

/** Records `LENGTH KEY=VALUE\n` (pax(1)). */
function pax(content: Buffer): Extensions {
  const found: { -readonly [K in keyof Extensions]: Extensions[K] } = {};
  const xattrs = new Map<string, Buffer>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const digits = space === -1 ? '' : content.toString('latin1', at, space);
    const length = /^\d{1,6}$/.test(digits) ? Number(digits) : 0;
    const record = content.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    if (length < digits.length + 3 || at + length > content.length || equals === -1) throw tarError('a bad pax header');
    const value = record.slice(equals + 1);
    const key = record.slice(0, equals);
    if (key === 'path') found.path = value;
    if (key === 'linkpath') found.target = value;
    if (key === 'size' || key === 'uid' || key === 'gid') {
      if (!/^\d{1,15}$/.test(value)) throw tarError(`pax ${key}: expected a number, got ${JSON.stringify(value)}`);
      found[key === 'size' ? 'sizeBytes' : key] = Number(value);
    }
    if (key.startsWith(XATTR)) {
      // Its value is bytes.
      const start = space + 1 + Buffer.byteLength(key) + 1;
      xattrs.set(key.slice(XATTR.length), Buffer.from(content.subarray(start, at + length - 1)));
    }
    if (key.startsWith('GNU.sparse')) throw tarError('a sparse file in a form that is not known');
    at += length;
  }
  return xattrs.size === 0 ? found : { ...found, xattrs };
}

function complete({ flag, type, ...header }: RawHeader, extensions: Extensions): TarHeader {
  if (type === undefined) throw tarError(`an entry of the unknown kind ${JSON.stringify(flag)}`);
  const path = extensions.path ?? header.path;
  const kind: TarType = type === 'file' && path.endsWith('/') ? 'directory' : type;
  const { uid = header.uid, gid = header.gid, xattrs } = extensions;
  return {
    ...header,
    uid,
    gid,
    ...(xattrs === undefined ? {} : { xattrs }),
    type: kind,
    path: path.length > 1 ? path.replace(/\/+$/, '') || '/' : path,
    target: extensions.target ?? header.target,
    // A link's size is that of what it leads to, in some programs' archives; its content never follows.
    sizeBytes: kind === 'file' ? (extensions.sizeBytes ?? header.sizeBytes) : 0,
  };
}
