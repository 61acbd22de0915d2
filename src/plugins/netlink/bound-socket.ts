import { closeSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { constants } from 'node:os';
import koffi from 'koffi';
import type { TransportProtocol } from '../../core/network.js';
import { encodeIp } from '../../host/netlink/codec/address.js';
import { inNetworkNamespace } from '../../host/netns.js';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_CLOEXEC = 0o2000000;
/** socket(2) type and protocol number. */
const KINDS = { tcp: [1, 6], udp: [2, 17], sctp: [1, 132] } as const;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_RCVBUF = 8;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
/** Not among Node's constants. */
const ESOCKTNOSUPPORT = 94;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const void *address, uint32_t length)');
const listen = libc.func('int listen(int fd, int backlog)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');

export interface LocalPort {
  readonly protocol: TransportProtocol;
  readonly hostAddress: string;
  readonly port: number;
}

export type BindOutcome =
  | { readonly fd: number }
  /** `unsupported`: the kernel has no such protocol, so nobody can have the port. */
  | { readonly refused: 'in-use' | 'no-such-address' | 'forbidden' | 'unsupported' | `errno ${number}` };

/**
 * Sockets that hold ports of a network namespace and do nothing with them: tcp listens (a bound one alone could be
 * overtaken by a server with SO_REUSEADDR), udp is bound. The first that is refused ends it, and none is kept.
 */
export function bindPorts(
  ports: readonly LocalPort[],
  netnsPath: string | undefined,
): { readonly fds: readonly number[] } | { readonly port: LocalPort; readonly refused: string } {
  return inNetworkNamespace(netnsPath, () => {
    const fds: number[] = [];
    for (const port of ports) {
      const outcome = bindOne(port);
      if ('fd' in outcome) fds.push(outcome.fd);
      else if (outcome.refused !== 'unsupported') {
        for (const fd of fds) closeSync(fd);
        return { port, refused: outcome.refused };
      }
    }
    return { fds };
  });
}

function bindOne({ protocol, hostAddress, port }: LocalPort): BindOutcome {
  const six = isIPv6(hostAddress);
  const [type, number] = KINDS[protocol];
  const fd: number = socket(six ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, number);
  if (fd < 0) return { refused: reasonOf(koffi.errno()) };
  if (six) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  // Of connections that ended a minute ago something remains (TIME_WAIT) that must not stand in the way.
  if (protocol === 'udp') set(fd, SOL_SOCKET, SO_RCVBUF, 0);
  else set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const address = socketAddress(hostAddress, port);
  if (bind(fd, address, address.length) === 0 && (protocol === 'udp' || listen(fd, 0) === 0)) return { fd };
  const refused = reasonOf(koffi.errno());
  closeSync(fd);
  return { refused };
}

/** struct sockaddr_in, sockaddr_in6. */
function socketAddress(hostAddress: string, port: number): Buffer {
  const six = isIPv6(hostAddress);
  const address = Buffer.alloc(six ? 28 : 16);
  address.writeUInt16LE(six ? AF_INET6 : AF_INET, 0);
  address.writeUInt16BE(port, 2);
  encodeIp(hostAddress).copy(address, six ? 8 : 4);
  return address;
}

function set(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  setsockopt(fd, level, name, bytes, 4);
}

function reasonOf(errno: number): Extract<BindOutcome, { refused: unknown }>['refused'] {
  const { EADDRINUSE, EADDRNOTAVAIL, EACCES, EPROTONOSUPPORT } = constants.errno;
  if (errno === EADDRINUSE) return 'in-use';
  if (errno === EADDRNOTAVAIL) return 'no-such-address';
  if (errno === EACCES) return 'forbidden';
  return errno === EPROTONOSUPPORT || errno === ESOCKTNOSUPPORT ? 'unsupported' : `errno ${errno}`;
}
