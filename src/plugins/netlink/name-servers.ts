import { readFileSync, type Stats, statSync } from 'node:fs';
import { isIP } from 'node:net';

/** resolv.conf(5): a resolver reads three. */
const MAX_NAME_SERVERS = 3;

/** The host's name servers that a guest can reach: those on its loopback it cannot. systemd-resolved tells the real ones. */
export function hostNameServers(files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']): readonly string[] {
  for (const file of files) {
    const reachable = nameServersIn(file);
    if (reachable.length > 0) return reachable;
  }
  return [];
}

interface Seen {
  readonly file: Stats;
  readonly servers: readonly string[];
}

const seen = new Map<string, Seen>();

/** Each NIC's lease has them; a file is read again when it has changed. */
function nameServersIn(path: string): readonly string[] {
  try {
    const file = statSync(path);
    const last = seen.get(path);
    if (last && sameContent(last.file, file)) return last.servers;
    const servers = parse(readFileSync(path, 'utf8'));
    seen.set(path, { file, servers });
    return servers;
  } catch {
    return [];
  }
}

const sameContent = (a: Stats, b: Stats): boolean =>
  a.ino === b.ino && a.dev === b.dev && a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;

function parse(text: string): readonly string[] {
  const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, address]) => address ?? []);
  const reachable = found.filter((address) => isIP(address) !== 0 && !/^127\.|^::1$|%/.test(address));
  return reachable.slice(0, MAX_NAME_SERVERS);
}
