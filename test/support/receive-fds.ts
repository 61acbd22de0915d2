import { readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';

/**
 * Run as a program with a unix socket as descriptor 3: takes one message with descriptors by recvmsg(2), writes what each
 * holds to standard output as JSON, then every further byte of the socket.
 */
koffi.struct('receiver_iovec', { base: 'void *', length: 'size_t' });
koffi.struct('receiver_msghdr', {
  name: 'void *',
  namelen: 'uint32_t',
  iov: 'receiver_iovec *',
  iovlen: 'size_t',
  control: 'void *',
  controllen: 'size_t',
  flags: 'int',
});
const recvmsg = koffi.load('libc.so.6').func('long recvmsg(int socket, _Inout_ receiver_msghdr *message, int flags)');

const SOCKET = 3;
const bytes = Buffer.alloc(64 * 1024);
const control = Buffer.alloc(4096);
const message = {
  name: null,
  namelen: 0,
  iov: [{ base: bytes, length: bytes.length }],
  iovlen: 1,
  control,
  controllen: control.length,
  flags: 0,
};

function receive(): { text: string; fds: number[] } {
  for (;;) {
    message.controllen = control.length;
    const count = Number(recvmsg(SOCKET, message, 0));
    // The other end of the pair is Node's, and so is non-blocking.
    if (count < 0 && koffi.errno() === constants.errno.EAGAIN) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      continue;
    }
    if (count < 0) throw new Error(`recvmsg: errno ${koffi.errno()}`);
    const length = Number(message.controllen) === 0 ? 0 : Number(control.readBigUInt64LE(0));
    const fds = Array.from({ length: Math.max(0, (length - 16) / 4) }, (_, i) => control.readInt32LE(16 + 4 * i));
    const text = bytes.toString('utf8', 0, count);
    if (fds.length > 0 || count === 0) return { text, fds };
    process.stdout.write(`${JSON.stringify({ before: count })}\n`);
  }
}

const { text, fds } = receive();
const contents = fds.map((fd) => {
  const content = Buffer.alloc(100);
  return content.toString('utf8', 0, readSync(fd, content, 0, 100, null));
});
writeSync(1, `${JSON.stringify({ text, contents })}\n`);
