import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { promisify } from 'node:util';

let serial = 0;

/** Each of these asks the operating system what is there, in words; an empty list says that nothing is. */
export type LeftoversCheck = () => Promise<readonly string[]>;

/** Live processes (of any user that can be seen) whose command line contains `text`; this one and zombies apart. */
export async function processesMentioning(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(entry) || Number(entry) === process.pid) continue;
    try {
      const argv = (await readFile(`/proc/${entry}/cmdline`, 'utf8')).split('\0').join(' ').trim();
      if (argv.includes(text)) found.push(`process ${entry}: ${argv.slice(0, 200)}`);
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Files, sockets and directories below `directory`; one that does not exist is empty. */
export async function filesBelow(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    return entries.map((entry) => {
      const kind = entry.isSocket() ? 'socket' : entry.isDirectory() ? 'directory' : 'file';
      return `${kind} ${entry.parentPath}/${entry.name}`;
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Bound unix sockets whose path begins with `prefix`, whoever holds them (/proc/net/unix: this network namespace's). */
export async function unixSockets(prefix: string): Promise<readonly string[]> {
  const lines = (await readFile('/proc/net/unix', 'utf8')).split('\n').slice(1);
  return lines.flatMap((line) => {
    const path = line.trim().split(/\s+/)[7];
    return path?.startsWith(prefix) ? [`unix socket ${path}`] : [];
  });
}

/** What each open descriptor of this process refers to (proc_pid_fd(5)): `socket:[123]`, `/dev/net/tun`, … */
export async function openDescriptors(): Promise<ReadonlyMap<number, string>> {
  const open = new Map<number, string>();
  for (const entry of await readdir('/proc/self/fd')) {
    try {
      open.set(Number(entry), await readlink(`/proc/self/fd/${entry}`));
    } catch {
      // The directory's own descriptor, closed by now.
    }
  }
  return open;
}

/**
 * Descriptors opened since. Call it before, and the returned check after. Other work of the same process opens
 * descriptors too: say by `interesting` which ones count.
 */
export async function descriptorsSince(
  interesting: (target: string) => boolean = (target) => target.startsWith('socket:') || target.startsWith('/dev/'),
): Promise<LeftoversCheck> {
  // libuv opens /dev/null with a process's first stream, and keeps it (uv__stream_init).
  const server = createServer().listen({ path: `\0hyperplug-${process.pid}-${++serial}` });
  await once(server, 'listening');
  server.close();
  await once(server, 'close');
  const before = await openDescriptors();
  return async () =>
    [...(await openDescriptors())]
      .filter(([fd, target]) => before.get(fd) !== target && interesting(target))
      .map(([fd, target]) => `descriptor ${fd}: ${target}`);
}

/** Names of the network links of this process's network namespace, or of the one at `netnsPath` (asks `ip`, by nsenter). */
export async function networkLinks(netnsPath?: string): Promise<readonly string[]> {
  if (netnsPath === undefined) {
    const table = (await readFile('/proc/self/net/dev', 'utf8')).split('\n').slice(2);
    return table.flatMap((line) => (line.includes(':') ? [line.slice(0, line.indexOf(':')).trim()] : []));
  }
  const { stdout } = await promisify(execFile)('nsenter', [`--net=${netnsPath}`, 'ip', '-j', 'link', 'show'], {
    timeout: 10_000,
  });
  return (JSON.parse(stdout) as { ifname: string }[]).map((link) => link.ifname);
}

/** Links that came since. Call it before, and the returned check after. */
export async function linksSince(netnsPath?: string): Promise<LeftoversCheck> {
  const before = new Set(await networkLinks(netnsPath));
  return async () => (await networkLinks(netnsPath)).filter((name) => !before.has(name)).map((name) => `link ${name}`);
}

/** The findings of all of them. */
export async function allLeftovers(...checks: readonly LeftoversCheck[]): Promise<readonly string[]> {
  return (await Promise.all(checks.map((check) => check()))).flat();
}
