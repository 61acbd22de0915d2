import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

/** resolv.conf(5): a resolver reads three. */
const MAX_NAME_SERVERS = 3;

/** The host's name servers that a guest can reach: those on its loopback it cannot. systemd-resolved tells the real ones. */
export function hostNameServers(files = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']): string[] {
  for (const file of files) {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch {
      continue;
    }
    const found = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].flatMap(([, address]) => address ?? []);
    const reachable = found.filter((address) => isIP(address) !== 0 && !/^127\.|^::1$|%/.test(address));
    if (reachable.length > 0) return reachable.slice(0, MAX_NAME_SERVERS);
  }
  return [];
}
