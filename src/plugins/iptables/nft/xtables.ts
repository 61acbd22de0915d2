import { encodeIp } from '../../../host/netlink/codec/address.js';

/**
 * Matches and targets of xtables, as they stand in rules: structures padded to 8 bytes (XT_ALIGN), in host byte order.
 * They are written where they go, into zeroes: a buffer of its own for each would be most of the work.
 */
export interface Extension {
  readonly name: string;
  readonly revision: number;
  readonly length: number;
  readonly write: (bytes: Buffer, at: number) => void;
}

export type Ports = readonly [first: number, last: number];

const ANY_PORT: Ports = [0, 65_535];
const SCTP = { flagInfo: 268, flags: 284, destinationPorts: 2 } as const;

function writePorts(bytes: Buffer, at: number, [first, last]: Ports): void {
  bytes.writeUInt16LE(first, at);
  bytes.writeUInt16LE(last, at + 2);
}

/** linux/netfilter/xt_tcpudp.h: struct xt_tcp, struct xt_udp; xt_sctp.h: struct xt_sctp_info. */
export function portMatch(protocol: string, destination: Ports): Extension {
  if (protocol !== 'sctp') {
    return {
      name: protocol,
      revision: 0,
      length: 16,
      write(bytes, at) {
        writePorts(bytes, at, ANY_PORT);
        writePorts(bytes, at + 4, destination);
      },
    };
  }
  return {
    name: protocol,
    revision: 0,
    length: 296,
    write(bytes, at) {
      writePorts(bytes, at, destination);
      // No flags of any chunk type.
      for (let each = 0; each < 4; each++) bytes.writeUInt8(0xff, at + SCTP.flagInfo + 3 * each);
      bytes.writeUInt32LE(SCTP.destinationPorts, at + SCTP.flags);
    },
  };
}

/** linux/netfilter/xt_comment.h: struct xt_comment_info. */
const COMMENT_BYTES = 256;

/** @throws TypeError for one that is too long: cut off it would say something else. */
export function commentMatch(comment: string): Extension {
  if (Buffer.byteLength(comment) >= COMMENT_BYTES) {
    throw new TypeError(
      `a comment of a firewall rule has at most ${COMMENT_BYTES - 1} bytes, this one more: ${comment}`,
    );
  }
  return {
    name: 'comment',
    revision: 0,
    length: COMMENT_BYTES,
    write: (bytes, at) => void bytes.write(comment, at),
  };
}

/** linux/netfilter/nf_nat.h. */
const NF_NAT_RANGE = { MAP_IPS: 1, PROTO_SPECIFIED: 2, PROTO_RANDOM: 4, PROTO_OFFSET: 32 } as const;
/** `ADDRESS`, `ADDRESS:PORT`, `ADDRESS:FIRST-LAST/BASE`, IPv6 addresses in brackets before a port. */
const DESTINATION = /^(?:\[([^\]]+)\]|([^:]+)|([^[]+:[^[]*:.*))(?::(\d+)(?:-(\d+))?(?:\/(\d+))?)?$/;

/** struct nf_nat_range2. */
export function dnatTarget(to: string, random: boolean): Extension {
  const [, bracketed, plain, bare, first, last = first, base] = DESTINATION.exec(to) ?? [];
  const address = encodeIp(bracketed ?? plain ?? bare ?? to);
  return {
    name: 'DNAT',
    revision: 2,
    length: 48,
    write(bytes, at) {
      let flags: number = random ? NF_NAT_RANGE.MAP_IPS | NF_NAT_RANGE.PROTO_RANDOM : NF_NAT_RANGE.MAP_IPS;
      bytes.set(address, at + 4);
      bytes.set(address, at + 20);
      if (first !== undefined) {
        flags |= NF_NAT_RANGE.PROTO_SPECIFIED;
        bytes.writeUInt16BE(Number(first), at + 36);
        bytes.writeUInt16BE(Number(last), at + 38);
      }
      if (base !== undefined) {
        flags |= NF_NAT_RANGE.PROTO_OFFSET;
        bytes.writeUInt16BE(Number(base), at + 40);
      }
      bytes.writeUInt32LE(flags, at);
    },
  };
}
