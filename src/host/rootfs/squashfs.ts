import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { abortError } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { RootImageOptions } from '../../core/rootfs.js';
import { runCommand } from '../command.js';
import type { ToolProvider } from '../tools.js';

/** lz4: what the guest unpacks at every read shall cost least; under emulation it is several times as fast as any other. */
const FORMAT = ['-comp', 'lz4', '-no-progress', '-mkfs-time', '0'];
const BUILD_TIMEOUT_MS = 30 * 60_000;

/** Owners, modes, links and attributes are kept; devices are left out. @throws HOST_TOOL_MISSING, HOST_COMMAND_FAILED. */
export async function squashDirectory(
  directory: string,
  image: string,
  tools: ToolProvider,
  options: RootImageOptions,
): Promise<void> {
  const { path, env } = await tools.locate('mksquashfs', options);
  const arguments_ = [directory, image, ...FORMAT, '-noappend', '-quiet'];
  await runCommand([path, ...arguments_], { signal: options.signal, env, timeoutMs: BUILD_TIMEOUT_MS });
}

/** Of a tar archive as it comes. */
export async function squashArchive(
  archive: AsyncIterable<Uint8Array>,
  image: string,
  tools: ToolProvider,
  options: RootImageOptions,
): Promise<void> {
  const { signal } = options;
  const { path, env } = await tools.locate('sqfstar', options);
  const child = spawn(path, [...FORMAT, '-quiet', image], {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', ...env },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk.toString('utf8')}`.slice(-2000);
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  closed.catch(() => {});
  try {
    await pipeline(archive, child.stdin, { signal });
    const [code] = await closed;
    if (code !== 0) throw failed(path, code, words);
  } catch (error) {
    child.kill('SIGKILL');
    const [code] = await closed.catch(() => [null]);
    if (signal.aborted) throw abortError(signal, `building ${image}`);
    // It ended first: why is what it says.
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') throw failed(path, code, words);
    throw error;
  }
}

function failed(path: string, code: number | null, words: string): HyperplugError {
  return new HyperplugError('HOST_COMMAND_FAILED', `${path} ended with ${code}: ${words.trim()}`, {
    details: { exitCode: code, stderrTail: words },
  });
}
