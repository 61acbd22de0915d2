import { readdir, readFile, readlink } from 'node:fs/promises';

export interface PortHolder {
  readonly pid: number;
  /** /proc/PID/comm. */
  readonly name: string;
}

/** TCP_LISTEN of include/net/tcp_states.h, in hexadecimal as /proc/net shows it. */
const LISTENING = '0A';

/** Inodes of the sockets that hold a local port, from /proc/net/{tcp,udp}{,6}. */
export function socketInodes(table: string, protocol: 'tcp' | 'udp', port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(`:${wanted}`) && (protocol === 'udp' || state === LISTENING))
    .flatMap((fields) => (fields[9] === undefined || fields[9] === '0' ? [] : [fields[9]]));
}

/** Who has the port open; undefined where this user may not see it. It reads a good deal of /proc: for error messages. */
export async function findPortHolder(protocol: 'tcp' | 'udp', port: number): Promise<PortHolder | undefined> {
  const tables = await Promise.all(
    [protocol, `${protocol}6`].map((name) => readFile(`/proc/net/${name}`, 'latin1').catch(() => '')),
  );
  const links = new Set(
    tables.flatMap((table) => socketInodes(table, protocol, port)).map((inode) => `socket:[${inode}]`),
  );
  if (links.size === 0) return undefined;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const fd of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
      if (!links.has(target)) continue;
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown');
      return { pid: Number(pid), name: name.trim() };
    }
  }
  return undefined;
}
