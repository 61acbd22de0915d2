import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import { runCommand } from '../../host/command.js';
import type { Tool } from '../../host/tools.js';
import { fileKey } from './kvm/verdict.js';

/**
 * Asks this QEMU for its user-mode network (`-netdev help`); what it answered yes to is remembered in CACHEDIR, by the
 * program's path, size and time, since a build does not lose it.
 * @throws NET_INIT_FAILED it was built without.
 */
export async function requireUserNetwork(
  qemu: Tool,
  cacheDir: string | undefined,
  options: CallOptions,
): Promise<void> {
  const { env, path } = qemu;
  const memo = cacheDir === undefined ? undefined : join(cacheDir, 'qemu-user-network');
  const key = fileKey(path);
  if (memo !== undefined && (await readFile(memo, 'utf8').catch(() => '')) === key) return;
  const { stdout } = await runCommand([path, '-netdev', 'help'], { signal: options.signal, env }).catch((cause) => {
    throw new HyperplugError('NET_INIT_FAILED', `${path} -netdev help: ${String(cause?.message ?? cause)}`, { cause });
  });
  if (!/^user$/m.test(stdout)) {
    throw new HyperplugError('NET_INIT_FAILED', `${path} was built without the user-mode network (-netdev user)`);
  }
  // A cache that cannot be written is done without.
  if (memo !== undefined) await writeFile(memo, key, { mode: 0o600 }).catch(() => {});
}
