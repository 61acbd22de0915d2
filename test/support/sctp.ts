import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { inNetworkNamespace } from '../../src/host/netns.js';
import type { TestNamespace } from './netns.js';

const AF_INET = 2;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const IPPROTO_SCTP = 132;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendto = libc.func(
  'long sendto(int fd, const void *data, size_t length, int flags, const void *to, uint32_t toLength)',
);
const recv = libc.func('long recv(int fd, void *data, size_t length, int flags)');

/** RFC 9260, appendix A: CRC32c, least significant bit first, over a packet whose checksum is zero. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** RFC 9260, 3.3.2: an INIT chunk, behind the common header. */
function init(sourcePort: number, destinationPort: number, tag: number): Buffer {
  const packet = Buffer.alloc(12 + 20);
  packet.writeUInt16BE(sourcePort, 0);
  packet.writeUInt16BE(destinationPort, 2);
  packet.writeUInt8(1, 12);
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(tag, 16);
  packet.writeUInt32BE(65_536, 20);
  packet.writeUInt16BE(1, 24);
  packet.writeUInt16BE(1, 26);
  packet.writeUInt32BE(tag, 28);
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

export interface SeenInit {
  readonly from: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sound: boolean;
}

/** Of a namespace, with the protocol's packets alone; for kernels that have no such sockets. */
export class RawSctp {
  readonly #fd: number;

  constructor(namespace: TestNamespace) {
    this.#fd = inNetworkNamespace(namespace.path, () => socket(AF_INET, SOCK_RAW_CLOEXEC_NONBLOCK, IPPROTO_SCTP));
    if (this.#fd < 0) throw new Error(`raw socket: errno ${koffi.errno()}`);
  }

  send(address: string, sourcePort: number, destinationPort: number, tag: number): void {
    const to = Buffer.alloc(16);
    to.writeUInt16LE(AF_INET, 0);
    Buffer.from(address.split('.').map(Number)).copy(to, 4);
    const packet = init(sourcePort, destinationPort, tag);
    if (sendto(this.#fd, packet, packet.length, 0, to, to.length) !== packet.length)
      throw new Error(`sendto ${address}: errno ${koffi.errno()}`);
  }

  /** The INIT with this tag; undefined: none came. */
  async seen(tag: number, withinMs: number): Promise<SeenInit | undefined> {
    const bytes = Buffer.alloc(2048);
    for (const end = Date.now() + withinMs; ; await sleep(20)) {
      const length = Number(recv(this.#fd, bytes, bytes.length, 0));
      if (length > 0) {
        const packet = Buffer.from(bytes.subarray(((bytes[0] as number) & 15) * 4, length));
        if (packet.length < 32 || packet.readUInt32BE(16) !== tag) continue;
        const sum = packet.readUInt32LE(8);
        packet.writeUInt32LE(0, 8);
        return {
          from: [...bytes.subarray(12, 16)].join('.'),
          sourcePort: packet.readUInt16BE(0),
          destinationPort: packet.readUInt16BE(2),
          sound: crc32c(packet) === sum,
        };
      }
      if (Date.now() >= end) return undefined;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
