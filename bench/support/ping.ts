import { setTimeout as delay } from 'node:timers/promises';
import koffi from 'koffi';

/** linux/in.h, linux/socket.h, icmp.h */
const [AF_INET, SOCK_RAW, SOCK_NONBLOCK, IPPROTO_ICMP] = [2, 3, 0o4000, 1];
const [ECHO_REQUEST, ECHO_REPLY] = [8, 0];
const IP_HEADER_BYTES = 20;
const RESEND_MS = 20;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const sendto = libc.func('long sendto(int, void *, size_t, int, void *, unsigned int)');
const recv = libc.func('long recv(int, void *, size_t, int)');
const close = libc.func('int close(int)');

/** ICMP echo without a process for each: as root, in this process's namespace. */
export class Pinger {
  readonly #fd: number = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  #sequence = 0;

  constructor() {
    if (this.#fd < 0) throw new Error('no raw socket: ping needs root');
  }

  /** Resolves when the address answers; asks it every so many milliseconds, and looks every one. */
  async answered(address: string, signal: AbortSignal): Promise<void> {
    const sequence = ++this.#sequence & 0xffff;
    const request = echoRequest(sequence);
    const to = socketAddress(address);
    const buffer = Buffer.alloc(2048);
    for (let elapsed = 0; ; elapsed++) {
      signal.throwIfAborted();
      // While ARP has no answer the kernel keeps it, or says EHOSTUNREACH: it is asked again.
      if (elapsed % RESEND_MS === 0) sendto(this.#fd, request, request.length, 0, to, to.length);
      for (;;) {
        const bytes = Number(recv(this.#fd, buffer, buffer.length, 0));
        if (bytes < 0) break;
        if (isAnswer(buffer.subarray(0, bytes), address, sequence)) return;
      }
      await delay(1, undefined, { signal });
    }
  }

  close(): void {
    close(this.#fd);
  }
}

function socketAddress(address: string): Buffer {
  const to = Buffer.alloc(16);
  to.writeUInt16LE(AF_INET, 0);
  for (const [index, part] of address.split('.').entries()) to[4 + index] = Number(part);
  return to;
}

/** RFC 792. */
function echoRequest(sequence: number): Buffer {
  const message = Buffer.alloc(64);
  message[0] = ECHO_REQUEST;
  message.writeUInt16BE(process.pid & 0xffff, 4);
  message.writeUInt16BE(sequence, 6);
  let sum = 0;
  for (let at = 0; at < message.length; at += 2) sum += message.readUInt16BE(at);
  sum = (sum & 0xffff) + (sum >>> 16);
  message.writeUInt16BE(~(sum + (sum >>> 16)) & 0xffff, 2);
  return message;
}

function isAnswer(packet: Buffer, address: string, sequence: number): boolean {
  const icmp = packet.subarray(IP_HEADER_BYTES);
  return (
    icmp.length >= 8 &&
    icmp[0] === ECHO_REPLY &&
    icmp.readUInt16BE(4) === (process.pid & 0xffff) &&
    icmp.readUInt16BE(6) === sequence &&
    [...packet.subarray(12, 16)].join('.') === address
  );
}
