import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HyperplugError, isHyperplugError } from '../../src/core/errors.js';
import type { Compiler } from '../../src/host/debian/compiler.js';
import type { SourceHashes } from './source-hashes.js';

/** Of a program in C. */
export interface ProgramSources {
  readonly folder: string;
  /** `*.c` of the folder, sorted. */
  readonly units: readonly string[];
  /** Over names and contents of the folder's `*.c` and `*.h`. */
  readonly hash: string;
}

/** @param what in messages. @throws IMAGE_BUILD_FAILED the folder has no C sources. */
export async function readSources(what: string, folder: string, hashes: SourceHashes): Promise<ProgramSources> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.[ch]$/.test(name)).sort();
  const units = names.filter((name) => name.endsWith('.c'));
  if (units.length === 0) throw new HyperplugError('IMAGE_BUILD_FAILED', `${folder}: no sources of ${what}`);
  return { folder, units, hash: await hashes.of(folder, names) };
}

/** As in guest/agent/Makefile. */
const FLAGS = [
  ...['-std=c11', '-D_GNU_SOURCE', '-Os', '-flto', '-ffunction-sections', '-fno-asynchronous-unwind-tables'],
  ...['-fno-stack-protector', '-static', '-fno-pie', '-no-pie', '-s', '-Wl,--gc-sections', '-Wl,-z,norelro'],
];

/**
 * Compiles a program against musl, statically, with musl and the kernel's headers taken from an unpacked tree: what
 * musl-gcc's specs file does (musl: tools/musl-gcc.specs.sh), for a musl in any place.
 * @param root tree with musl-dev and linux-libc-dev; @param temporary a folder for this program's build alone.
 * @throws IMAGE_BUILD_FAILED with the compiler's words.
 */
export async function buildProgram(
  what: string,
  sources: ProgramSources,
  compiler: Compiler,
  root: string,
  temporary: string,
  signal: AbortSignal,
): Promise<Buffer> {
  const muslInclude = join(root, 'usr/include/x86_64-linux-musl');
  const muslLib = join(root, 'usr/lib/x86_64-linux-musl');
  const kernelInclude = await kernelHeaders(root, temporary);
  const output = join(temporary, 'program');
  const args = [
    ...FLAGS,
    ...['-nostdinc', '-isystem', muslInclude, '-isystem', kernelInclude],
    ...['-nostdlib', '-L', muslLib, join(muslLib, 'crt1.o'), join(muslLib, 'crti.o')],
    ...['-I', sources.folder, ...sources.units.map((unit) => join(sources.folder, unit))],
    ...['-Wl,--start-group', '-lc', '-lgcc', '-Wl,--end-group', join(muslLib, 'crtn.o'), '-o', output],
  ];
  try {
    await compiler.compile(args, { signal, cwd: temporary });
  } catch (error) {
    if (signal.aborted) throw error;
    const stderr = isHyperplugError(error) ? error.details.stderrTail : undefined;
    const lines = (typeof stderr === 'string' ? stderr.split('\n') : []).filter((line) => /error/.test(line));
    const why = lines.length > 0 ? lines.slice(0, 5).join('\n') : (error as Error).message;
    throw new HyperplugError('IMAGE_BUILD_FAILED', `${what} does not compile: ${why}`, { cause: error });
  }
  return readFile(output);
}

/** A folder with the kernel's headers and nothing of the other libc's that lie beside them. */
async function kernelHeaders(root: string, temporary: string): Promise<string> {
  const folder = join(temporary, 'kernel-headers');
  await mkdir(folder, { recursive: true });
  await symlink(join(root, 'usr/include/linux'), join(folder, 'linux'));
  await symlink(join(root, 'usr/include/asm-generic'), join(folder, 'asm-generic'));
  await symlink(join(root, 'usr/include/x86_64-linux-gnu/asm'), join(folder, 'asm'));
  return folder;
}
