import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { fieldError } from '../../core/errors.js';
import type { VmDisk, VmShare } from '../../core/hypervisor.js';
import type { JsonValue } from '../../core/json.js';
import type { DeviceProperties } from './devices.js';

/** A disk as QEMU gets it: by an open descriptor, so that its user need not be able to reach the file. */
export interface DiskPlan {
  readonly disk: VmDisk;
  /** Set of descriptors (-add-fd) that it is in. */
  readonly fdSet: number;
  readonly blockDevice: boolean;
}

export interface SharePlan {
  readonly share: VmShare;
  /** Where its virtiofsd listens. */
  readonly socketPath: string;
}

/**
 * Functions of PCI slots that no NIC's slot is among (devices.ts; on q35 root ports come before, and 1f is the chipset's), since
 * the bus has not as many slots as there may be devices. Disks come first, then shares.
 */
export function storageAddress(machine: 'q35' | 'pc', index: number): DeviceProperties {
  const slot = (machine === 'q35' ? 0x1c : 0x1d) + Math.floor(index / 8);
  return {
    bus: machine === 'q35' ? 'pcie.0' : 'pci.0',
    addr: `${slot.toString(16)}.${index % 8}`,
    multifunction: true,
  };
}

/** qapi/block-core.json: BlockdevOptions, in JSON, since the other notation cannot say null. */
export function blockdev({ disk, fdSet, blockDevice }: DiskPlan, index: number): JsonValue {
  const file = {
    driver: blockDevice ? 'host_device' : 'file',
    filename: `/dev/fdset/${fdSet}`,
    'read-only': disk.readOnly,
  };
  return {
    driver: disk.format,
    'node-name': diskNode(index),
    'read-only': disk.readOnly,
    ...(disk.readOnly ? {} : { discard: 'unmap' }),
    // Whatever its header says: no file is opened by name.
    ...(disk.format === 'qcow2' ? { backing: null } : {}),
    file,
  };
}

export const diskNode = (index: number) => `disk${index}`;
export const shareChardev = (index: number) => `share${index}`;

export function diskDevice(disk: VmDisk, index: number, address: DeviceProperties): DeviceProperties {
  return { driver: 'virtio-blk-pci', drive: diskNode(index), serial: disk.id, ...address };
}

export function shareDevice({ share }: SharePlan, index: number, address: DeviceProperties): DeviceProperties {
  return { driver: 'vhost-user-fs-pci', chardev: shareChardev(index), tag: share.tag, ...address };
}

const QCOW2_MAGIC = 0x514649fb;
/** docs/interop/qcow2.txt: bit 2 of the incompatible features. */
const EXTERNAL_DATA = 4n;

/**
 * How large its file may grow, in bytes.
 * @throws VM_SPEC_INVALID a qcow2 image that is none, or that is made of more files than its own: QEMU would open them by name.
 */
export async function checkDisk(disk: VmDisk, index: number): Promise<number> {
  const { size } = statSync(disk.path);
  if (disk.format === 'raw') return size;
  const field = `disks[${index}].path`;
  await using file = await open(disk.path, 'r');
  const { buffer: header, bytesRead } = await file.read(Buffer.alloc(80), 0, 80, 0);
  if (bytesRead < 72 || header.readUInt32BE(0) !== QCOW2_MAGIC) {
    throw fieldError('VM_SPEC_INVALID', field, 'an image in format qcow2', disk.path);
  }
  const external = header.readUInt32BE(4) >= 3 && (header.readBigUInt64BE(72) & EXTERNAL_DATA) !== 0n;
  if (header.readBigUInt64BE(8) !== 0n || external) {
    throw fieldError('VM_SPEC_INVALID', field, 'an image without a backing file and with its data inside', disk.path);
  }
  const virtual = Number(header.readBigUInt64BE(24));
  // Tables and snapshots of what has been written, too.
  return Math.max(size, virtual) * 2 + 64 * 1024 * 1024;
}
