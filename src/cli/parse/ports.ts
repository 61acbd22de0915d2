import { isIP, isIPv6 } from 'node:net';
import { fieldError } from '../../core/errors.js';

/** A `portmappings` entry of a pod specification. */
export interface PublishedPort {
  readonly hostAddress?: string;
  /** `8080` or `8080-8090`. */
  readonly hostPort: string;
  readonly containerPort: string;
  readonly protocol: 'tcp' | 'udp';
}

const EXPECTED = '[HOST_IP:]HOST_PORT:POD_PORT[/tcp|/udp], like 8080:80, 127.0.0.1:8080-8090:80-90 or [::1]:53:53/udp';
const FORM = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?([0-9-]+):([0-9-]+)(?:\/(tcp|udp))?$/i;
const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** @throws CLI_USAGE */
export function parsePublish(text: string): PublishedPort {
  const wrong = (why = EXPECTED) => fieldError('CLI_USAGE', '--publish', why, text);
  const match = FORM.exec(text);
  if (!match) throw wrong();
  const [, bracketed, plain, hostPort = '', containerPort = '', protocol = 'tcp'] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) throw wrong('an IPv6 address between the brackets');
  if (plain !== undefined && isIP(plain) !== 4) throw wrong('an address of the host before the ports, not a name');
  const host = portRange(hostPort);
  const guest = portRange(containerPort);
  if (!host || !guest) throw wrong('ports from 1 to 65535, a range with its lower end first');
  if (host.count !== guest.count) throw wrong('ranges of the same length on both sides');
  const hostAddress = bracketed ?? plain;
  return {
    ...(hostAddress === undefined ? {} : { hostAddress }),
    hostPort,
    containerPort,
    protocol: protocol.toLowerCase() as 'tcp' | 'udp',
  };
}

function portRange(text: string): { readonly count: number } | undefined {
  const match = RANGE.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first < 1 || last > 65_535 || last < first ? undefined : { count: last - first + 1 };
}
