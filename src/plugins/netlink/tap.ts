import { closeSync, constants, openSync } from 'node:fs';
import koffi from 'koffi';
import { HyperplugError } from '../../core/errors.js';
import { kernelError } from '../../host/netlink/errno.js';
import { inNetworkNamespace } from '../../host/netns.js';

/** linux/if_tun.h. */
const TUNSETIFF = 0x400454ca;
/** asm-generic: also of a macvtap. */
const TUNGETIFF = 0x800454d2;
const TUNSETVNETHDRSZ = 0x400454d8;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_TUN_EXCL = 0x8000;
const IFREQ_BYTES = 40;
/** sizeof(struct virtio_net_hdr_mrg_rxbuf): what virtio 1 devices put before each frame. */
const VNET_HDR_BYTES = 12;

const libc = koffi.load('libc.so.6');
const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');

export interface Tap {
  readonly name: string;
  /** One for each queue; close-on-exec, non-blocking. The tap is gone when the last of them, and of their copies, is closed. */
  readonly fds: readonly number[];
}

/**
 * A tap that is not persistent: it lives as long as somebody has it open, so that the kernel cleans up after a crash.
 * The first queue's TUNSETIFF is exclusive: a device of that name is never taken over, unless `existing` asks for just that,
 * as one that may be opened several times or not: the kernel refuses what it is not.
 * @throws NET_KERNEL_REFUSED (EBUSY: the name is taken; EPERM), HOST_PERMISSION for /dev/net/tun.
 */
export function openTap(
  name: string,
  queues: number,
  netnsPath: string | undefined,
  { existing }: { readonly existing?: { readonly multiQueue: boolean } } = {},
): Tap {
  if (!/^[^\s/:%]{1,15}$/.test(name))
    throw new TypeError(`tap name: expected 1 to 15 characters, got ${JSON.stringify(name)}`);
  if (!Number.isInteger(queues) || queues < 1)
    throw new TypeError(`tap queues: expected a positive integer, got ${queues}`);
  return inNetworkNamespace(netnsPath, () => {
    const fds: number[] = [];
    try {
      for (let queue = 0; queue < queues; queue++) {
        const fd = openDevice('/dev/net/tun');
        fds.push(fd);
        const flags =
          IFF_TAP |
          IFF_NO_PI |
          IFF_VNET_HDR |
          ((existing?.multiQueue ?? queues > 1) ? IFF_MULTI_QUEUE : 0) |
          (queue === 0 && !existing ? IFF_TUN_EXCL : 0);
        const request = Buffer.alloc(IFREQ_BYTES);
        request.write(name, 0, 'latin1');
        request.writeUInt16LE(flags, 16);
        control(fd, TUNSETIFF, request, `tap ${name}`);
        setHeaderSize(fd, `tap ${name}: header size`);
      }
      return { name, fds };
    } catch (error) {
      for (const fd of fds) closeSync(fd);
      throw error;
    }
  });
}

/**
 * The queues of a macvtap, by its character device. Its number is the interface's index, which other namespaces have too:
 * hence the look at whose it is.
 */
export function openMacvtap(name: string, index: number, queues: number): Tap {
  const fds: number[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) {
      const fd = openDevice(`/dev/tap${index}`);
      fds.push(fd);
      const request = Buffer.alloc(IFREQ_BYTES);
      control(fd, TUNGETIFF, request, `macvtap ${name}`);
      const found = request.toString('latin1', 0, request.indexOf(0));
      if (found !== name) {
        throw new HyperplugError(
          'NET_KERNEL_REFUSED',
          `/dev/tap${index}: expected the device of ${name}, got ${found}'s`,
        );
      }
      request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0), 16);
      control(fd, TUNSETIFF, request, `macvtap ${name}`);
      setHeaderSize(fd, `macvtap ${name}: header size`);
    }
    return { name, fds };
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw error;
  }
}

function setHeaderSize(fd: number, what: string): void {
  const size = Buffer.alloc(4);
  size.writeInt32LE(VNET_HDR_BYTES);
  control(fd, TUNSETVNETHDRSZ, size, what);
}

function openDevice(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    throw new HyperplugError('HOST_PERMISSION', `${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
}

function control(fd: number, request: number, argument: Buffer, what: string): void {
  if (ioctl(fd, request, argument) < 0) throw kernelError(what, koffi.errno(), undefined);
}
