import { isIP, isIPv6 } from 'node:net';
import { fieldError } from '../../core/errors.js';
import type { TransportProtocol } from '../../core/network.js';
import type { PortSelector } from '../../core/pod/types.js';

/** A `portmappings` entry of a pod specification. */
export interface PublishedPort {
  readonly hostAddress?: string;
  /** `8080` or `8080-8090`. */
  readonly hostPort: string;
  readonly containerPort: string;
  readonly protocol: TransportProtocol;
}

const EXPECTED =
  '[HOST_IP:]HOST_PORT:POD_PORT[/tcp|/udp|/sctp], like 8080:80, 127.0.0.1:8080-8090:80-90 or [fd00::1]:53:53/udp';
const FORM = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?([0-9-]+):([0-9-]+)(?:\/(tcp|udp|sctp))?$/i;
const SELECTOR = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?([0-9-]+)(?:\/(tcp|udp|sctp))?$/i;
const SELECTOR_EXPECTED = '[HOST_IP:]HOST_PORT[/tcp|/udp|/sctp], like 8080, 8080-8090/udp or [fd00::1]:53';
const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** @throws CLI_USAGE */
export function parsePublish(text: string, field = '--publish'): PublishedPort {
  const wrong = (why = EXPECTED) => fieldError('CLI_USAGE', field, why, text);
  const match = FORM.exec(text);
  if (!match) throw wrong();
  const [, bracketed, plain, hostPort = '', containerPort = '', protocol = 'tcp'] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) throw wrong('an IPv6 address between the brackets');
  if (plain !== undefined && isIP(plain) !== 4) throw wrong('an address of the host before the ports, not a name');
  const host = portRange(hostPort);
  const guest = portRange(containerPort);
  if (!host || !guest) throw wrong('ports from 1 to 65535, a range with its lower end first');
  if (host.count !== guest.count && host.count > 1) {
    throw wrong('ranges of the same length on both sides, or one port of the host and a range of the pod');
  }
  const hostAddress = bracketed ?? plain;
  return {
    ...(hostAddress === undefined ? {} : { hostAddress }),
    hostPort,
    containerPort,
    protocol: protocol.toLowerCase() as TransportProtocol,
  };
}

/** The host side of published ports: `[HOST_IP:]HOST_PORT[/PROTOCOL]`. @throws CLI_USAGE */
export function parsePortSelector(text: string): PortSelector {
  const wrong = (why = SELECTOR_EXPECTED) => fieldError('CLI_USAGE', 'PORTS', why, text);
  const match = SELECTOR.exec(text);
  if (!match) throw wrong();
  const [, bracketed, plain, hostPort = '', protocol = 'tcp'] = match;
  if (bracketed !== undefined && !isIPv6(bracketed)) throw wrong('an IPv6 address between the brackets');
  if (plain !== undefined && isIP(plain) !== 4) throw wrong('an address of the host before the port, not a name');
  if (!portRange(hostPort)) throw wrong('ports from 1 to 65535, a range with its lower end first');
  const hostAddress = bracketed ?? plain;
  return {
    ...(hostAddress === undefined ? {} : { hostAddress }),
    hostPort,
    protocol: protocol.toLowerCase() as TransportProtocol,
  };
}

function portRange(text: string): { readonly count: number } | undefined {
  const match = RANGE.exec(text);
  if (!match) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first < 1 || last > 65_535 || last < first ? undefined : { count: last - first + 1 };
}
