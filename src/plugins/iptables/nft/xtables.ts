import { encodeIp } from '../../../host/netlink/codec/address.js';

/** Matches and targets of xtables, as they stand in rules: structures padded to 8 bytes (XT_ALIGN), in host byte order. */
export interface Extension {
  readonly name: string;
  readonly revision: number;
  readonly info: Buffer;
}

type Ports = readonly [first: number, last: number];

const ANY_PORT: Ports = [0, 65_535];

function writePorts(info: Buffer, offset: number, [first, last]: Ports): void {
  info.writeUInt16LE(first, offset);
  info.writeUInt16LE(last, offset + 2);
}

const SCTP = { flagInfo: 268, flags: 284, destinationPorts: 2 } as const;

/** linux/netfilter/xt_tcpudp.h: struct xt_tcp, struct xt_udp; xt_sctp.h: struct xt_sctp_info. */
export function portMatch(protocol: string, destination: Ports): Extension {
  if (protocol === 'sctp') {
    const info = Buffer.alloc(296);
    writePorts(info, 0, destination);
    // No flags of any chunk type.
    for (let each = 0; each < 4; each++) info.writeUInt8(0xff, SCTP.flagInfo + 3 * each);
    info.writeUInt32LE(SCTP.destinationPorts, SCTP.flags);
    return { name: protocol, revision: 0, info };
  }
  const info = Buffer.alloc(16);
  writePorts(info, 0, ANY_PORT);
  writePorts(info, 4, destination);
  return { name: protocol, revision: 0, info };
}

/** linux/netfilter/xt_comment.h: struct xt_comment_info. */
const COMMENT_BYTES = 256;

/** @throws TypeError for one that is too long: cut off it would say something else. */
export function commentInfo(comment: string): Extension {
  const info = Buffer.alloc(COMMENT_BYTES);
  if (Buffer.byteLength(comment) >= COMMENT_BYTES) {
    throw new TypeError(
      `a comment of a firewall rule has at most ${COMMENT_BYTES - 1} bytes, this one more: ${comment}`,
    );
  }
  info.write(comment);
  return { name: 'comment', revision: 0, info };
}

const addresses = new Map<string, Buffer>();

/** Bytes of an address, which are not to be changed. Of many rules the addresses are few. */
export function addressBytes(text: string): Buffer {
  let bytes = addresses.get(text);
  if (!bytes) {
    bytes = encodeIp(text);
    if (addresses.size > 1000) addresses.clear();
    addresses.set(text, bytes);
  }
  return bytes;
}

/** linux/netfilter/nf_nat.h. */
const NF_NAT_RANGE = { MAP_IPS: 1, PROTO_SPECIFIED: 2, PROTO_OFFSET: 32 } as const;

/** struct nf_nat_range2 from `ADDRESS`, `ADDRESS:PORT`, `ADDRESS:FIRST-LAST/BASE`, IPv6 addresses in brackets before a port. */
export function dnatInfo(to: string, isIPv6: (text: string) => boolean): Extension {
  const info = Buffer.alloc(48);
  const bare = isIPv6(to) || !to.includes(':');
  const colon = bare ? to.length : to.lastIndexOf(':');
  const address = addressBytes(to.slice(0, colon).replace(/^\[|\]$/g, ''));
  address.copy(info, 4);
  address.copy(info, 20);
  let flags: number = NF_NAT_RANGE.MAP_IPS;
  if (!bare) {
    const [range = '', base] = to.slice(colon + 1).split('/');
    const [first = '', last = first] = range.split('-');
    flags |= NF_NAT_RANGE.PROTO_SPECIFIED;
    info.writeUInt16BE(Number(first), 36);
    info.writeUInt16BE(Number(last), 38);
    if (base !== undefined) {
      flags |= NF_NAT_RANGE.PROTO_OFFSET;
      info.writeUInt16BE(Number(base), 40);
    }
  }
  info.writeUInt32LE(flags, 0);
  return { name: 'DNAT', revision: 2, info };
}

/** struct nf_nat_ipv4_multi_range_compat with one range; struct nf_nat_range. */
const oneRange = Buffer.alloc(24);
oneRange.writeUInt32LE(1, 0);
export const MASQUERADE: Readonly<Record<4 | 6, Extension>> = {
  4: { name: 'MASQUERADE', revision: 0, info: oneRange },
  6: { name: 'MASQUERADE', revision: 0, info: Buffer.alloc(40) },
};
