import { closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { HyperplugError } from '../../core/errors.js';
import { inNetworkNamespace } from '../../host/netns.js';

/**
 * /proc/sys/net of a network namespace. procfs answers for the namespace of the thread that opens the file, hence
 * synchronous; it never blocks.
 */
export function readNetSysctl(netnsPath: string | undefined, key: string): string {
  return inNetworkNamespace(netnsPath, () => readFileSync(sysctlPath(key), 'utf8').trim());
}

/** False also where the kernel has no such key (a module that is not loaded). */
export function netSysctlIs(netnsPath: string | undefined, key: string, value: string): boolean {
  try {
    return readNetSysctl(netnsPath, key) === value;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Of a link, or of those to come (`default`). Where /proc/sys is read-only, or there is no IPv6, things are as they are. */
export function disableIpv6(netnsPath: string | undefined, link: string): void {
  inNetworkNamespace(netnsPath, () => {
    try {
      const fd = openSync(sysctlPath(`ipv6/conf/${link}/disable_ipv6`), constants.O_WRONLY);
      try {
        writeSync(fd, '1');
      } finally {
        closeSync(fd);
      }
    } catch {}
  });
}

/** Writes only what differs, so that a value somebody set is not touched for nothing. True: it was changed. */
export function ensureNetSysctl(netnsPath: string | undefined, key: string, value: string): boolean {
  return inNetworkNamespace(netnsPath, () => {
    try {
      if (readFileSync(sysctlPath(key), 'utf8').trim() === value) return false;
      writeFileSync(sysctlPath(key), value);
    } catch (cause) {
      throw new HyperplugError(
        'HOST_PERMISSION',
        `sysctl net/${key}: expected ${value}, and it cannot be set: ${(cause as Error).message}`,
        {
          cause,
          details: { key, expected: value },
        },
      );
    }
    const now = readFileSync(sysctlPath(key), 'utf8').trim();
    if (now === value) return true;
    throw new HyperplugError('NET_INIT_FAILED', `sysctl net/${key}: expected ${value}, got ${now} after writing it`);
  });
}

/** Keys have slashes, since names of interfaces may have dots (`ipv4/conf/eth0.5/forwarding`). */
const sysctlPath = (key: string): string => `/proc/sys/net/${key}`;
