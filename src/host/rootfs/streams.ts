import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { abortError } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { RootImageOptions } from '../../core/rootfs.js';
import type { Tool, ToolProvider } from '../tools.js';
import { invalid } from './errors.js';

export type Compression = 'none' | 'gzip' | 'xz' | 'zstd' | 'bzip2';

const MAGICS: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.from([0x1f, 0x8b])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ['bzip2', Buffer.from('BZh')],
];

/** By the first bytes, whatever the name says. */
export function compressionOf(start: Buffer): Compression {
  return MAGICS.find(([, magic]) => start.subarray(0, magic.length).equals(magic))?.[0] ?? 'none';
}

export interface Decompressors {
  /** Where `compression` takes a program of its own, that program. */
  program(compression: Compression): Promise<Tool | undefined>;
}

export function decompressors(tools: ToolProvider, options: RootImageOptions): Decompressors {
  const found = new Map<Compression, Promise<Tool>>();
  return {
    async program(compression) {
      if (compression === 'none' || compression === 'gzip') return undefined;
      let tool = found.get(compression);
      if (!tool) {
        tool = tools.locate(compression, options);
        found.set(compression, tool);
      }
      return tool;
    },
  };
}

/**
 * The plain bytes of a file. Whoever stops reading ends what decompresses.
 * @throws ROOTFS_INVALID it is not as its compression has it.
 */
export async function* plainBytes(
  path: string,
  compression: Compression,
  program: Tool | undefined,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  const ended: { reason?: Error } = {};
  const plain = program ? throughProgram(file, path, program, ended) : compression === 'gzip' ? gunzip(file) : file;
  const abort = () => plain.destroy(abortError(signal, `reading ${path}`));
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) throw abortError(signal, `reading ${path}`);
    for await (const chunk of plain) yield chunk as Buffer;
    if (ended.reason) throw ended.reason;
  } finally {
    signal.removeEventListener('abort', abort);
    plain.destroy();
    file.destroy();
  }
}

function gunzip(file: Readable): Readable {
  const plain = createGunzip({ chunkSize: 256 * 1024 });
  pipeline(file, plain).catch((error: Error) => plain.destroy(error));
  return plain;
}

function throughProgram(
  file: Readable,
  path: string,
  { path: program, env }: Tool,
  ended: { reason?: Error },
): Readable {
  const child = spawn(program, ['--decompress', '--stdout'], {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const plain = new PassThrough();
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk.toString('utf8')}`.slice(-1000);
  });
  child.on('error', (cause) =>
    plain.destroy(new HyperplugError('HOST_TOOL_MISSING', `${program}: could not be started`, { cause })),
  );
  pipeline(file, child.stdin).catch(() => {});
  child.stdout.pipe(plain, { end: false });
  child.on('close', (code) => {
    if (code !== 0) ended.reason = invalid(`${path}: ${program} ended with ${code}: ${words.trim()}`, { path });
    plain.end();
  });
  plain.on('close', () => child.kill('SIGKILL'));
  return plain;
}

/** `sha256:…` of a file's bytes. */
export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, { signal });
  return `sha256:${hash.digest('hex')}`;
}

/** The same bytes; at their end they have to have this digest (`sha256:…`). @throws ROOTFS_INVALID */
export async function* digesting(
  bytes: AsyncIterable<Buffer>,
  expected: string,
  path: string,
): AsyncGenerator<Buffer, void, undefined> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  const seen = `sha256:${hash.digest('hex')}`;
  if (seen !== expected)
    throw invalid(`${path}: uncompressed its digest is ${seen}, its image says ${expected}`, { path });
}
