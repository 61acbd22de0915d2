import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { fieldError, HyperplugError } from '../errors.js';
import type { HypervisorCapabilities, VmSpec } from '../hypervisor.js';

/** virtio-blk's serial has room for 20 bytes (linux/virtio_blk.h: VIRTIO_BLK_ID_BYTES). */
const DISK_ID = /^[a-z0-9][a-z0-9-]{0,19}$/;
/** virtio-fs's tag is shorter than 36 bytes (linux/virtio_fs.h). */
const SHARE_TAG = /^[a-z0-9][a-z0-9-]{0,30}$/;

/**
 * For drivers: whether disks and shares are such as they declare, and are there. Who the hypervisor runs as may open less
 * than this process can.
 * @throws NOT_SUPPORTED, VM_SPEC_INVALID naming the field.
 */
export async function checkStorage(
  { disks, shares }: Pick<VmSpec, 'disks' | 'shares'>,
  capabilities: Pick<HypervisorCapabilities, 'disks' | 'shares'>,
): Promise<void> {
  const declared = capabilities.disks;
  if (disks.length > 0 && !declared) throw undeclared('disks');
  bounded('disks', disks.length, declared?.max ?? 0);
  distinct(
    'disks',
    'id',
    disks.map(({ id }) => id),
  );
  for (const [index, disk] of disks.entries()) {
    const field = `disks[${index}]`;
    if (!DISK_ID.test(disk.id))
      throw fieldError('VM_SPEC_INVALID', `${field}.id`, 'a-z, 0-9 and -, at most 20', disk.id);
    if (!declared?.formats.includes(disk.format)) throw undeclared(`${field}.format: ${disk.format}`);
    await there(`${field}.path`, disk.path, 'file', disk.readOnly);
  }
  const sharing = capabilities.shares;
  if (shares.length > 0 && !sharing) throw undeclared('shares');
  bounded('shares', shares.length, sharing?.max ?? 0);
  distinct(
    'shares',
    'tag',
    shares.map(({ tag }) => tag),
  );
  for (const [index, share] of shares.entries()) {
    const field = `shares[${index}]`;
    if (!SHARE_TAG.test(share.tag)) {
      throw fieldError('VM_SPEC_INVALID', `${field}.tag`, 'a-z, 0-9 and -, at most 31', share.tag);
    }
    if (!share.readOnly && !sharing?.writable) throw undeclared(`${field}: shares that can be written to`);
    await there(`${field}.path`, share.path, 'directory', share.readOnly);
  }
}

function undeclared(what: string): HyperplugError {
  return new HyperplugError('NOT_SUPPORTED', `the hypervisor does not declare ${what}`);
}

function bounded(field: string, count: number, max: number): void {
  if (count > max) throw fieldError('VM_SPEC_INVALID', field, `at most ${max}`, count);
}

function distinct(list: string, key: string, values: readonly string[]): void {
  const again = values.findIndex((value, index) => values.indexOf(value) !== index);
  if (again >= 0) throw fieldError('VM_SPEC_INVALID', `${list}[${again}].${key}`, 'a value of its own', values[again]);
}

async function there(field: string, path: string, kind: 'file' | 'directory', readOnly: boolean): Promise<void> {
  const wanted = `${readOnly ? 'a readable' : 'a writable'} ${kind}, by an absolute path`;
  if (!path.startsWith('/')) throw fieldError('VM_SPEC_INVALID', field, wanted, path);
  try {
    const found = await stat(path);
    const fits = kind === 'directory' ? found.isDirectory() : found.isFile() || found.isBlockDevice();
    if (!fits) throw fieldError('VM_SPEC_INVALID', field, wanted, path);
    await access(path, readOnly ? constants.R_OK : constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof HyperplugError) throw error;
    throw fieldError('VM_SPEC_INVALID', field, `${wanted} (${code})`, path);
  }
}
