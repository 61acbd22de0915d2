import { closeSync, constants, fchownSync, fstatSync, openSync, readSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { VmDisk } from '../../core/hypervisor.js';
import type { RunAsUser } from '../../host/confined-spawn.js';
import { flock } from '../../host/lock.js';
import type { Loan } from './loans.js';

/** arch/um/drivers/cow.h: COW_MAGIC, in either order of bytes. */
const COW_MAGICS = ['OOOM', 'MOOO'];

/** ubd devices. `d`: data, never a file of UML's copy-on-write format, which names another. */
export function diskArgs(disks: readonly (Pick<VmDisk, 'id' | 'readOnly'> & { readonly path: string })[]): string[] {
  return disks.flatMap(({ id, path, readOnly }, index) => [
    `ubd${index}${readOnly ? 'r' : ''}d=${path}`,
    `hyper_disk=${id}:ubd${String.fromCharCode('a'.charCodeAt(0) + index)}`,
  ]);
}

/**
 * Opens the disks and locks them (flock(2)): UML inherits the descriptors, and with them the locks. UML opens them again as
 * its own user, to whom a disk that is written to is therefore given while the VM runs, as `loanFile` tells.
 * @throws VM_SPEC_INVALID that user cannot open it, or UML would take it for another; VM_HYPERVISOR_FAILED another VM has it.
 */
export async function openDisks(
  disks: readonly VmDisk[],
  user: RunAsUser | undefined,
  loanFile: string,
): Promise<number[]> {
  const fds: number[] = [];
  const lent: Loan[] = [];
  try {
    for (const [index, disk] of disks.entries()) {
      const fd = openSync(disk.path, disk.readOnly ? constants.O_RDONLY : constants.O_RDWR);
      fds.push(fd);
      if (!flock(disk.path, fd, !disk.readOnly)) {
        throw new HyperplugError('VM_HYPERVISOR_FAILED', `disks[${index}]: another VM has ${disk.path}`, {
          details: { path: disk.path },
        });
      }
      refuseCopyOnWrite(fd, `disks[${index}].path`, disk.path);
      if (!user || isOpenTo(user, fd, disk.readOnly)) continue;
      const { ino, uid, gid, mode } = fstatSync(fd);
      if (disk.readOnly || !fstatSync(fd).isFile()) {
        const wanted = `one that the user the hypervisor runs as (${user.uid}) can ${disk.readOnly ? 'read' : 'write to'}`;
        const has = `${disk.path} with mode 0${(mode & 0o777).toString(8)}`;
        throw fieldError('VM_SPEC_INVALID', `disks[${index}].path`, wanted, has);
      }
      lent.push({ path: disk.path, ino, uid, gid, to: user.uid });
      await writeFile(loanFile, JSON.stringify(lent), { mode: 0o600 });
      fchownSync(fd, user.uid, user.gid);
    }
    return fds;
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw error;
  }
}

/** Even of mere data UML takes the size from the file that such a header names; a guest can have written one. */
function refuseCopyOnWrite(fd: number, field: string, path: string): void {
  const magic = Buffer.alloc(4);
  readSync(fd, magic, 0, magic.length, 0);
  if (!COW_MAGICS.includes(magic.toString('latin1'))) return;
  throw fieldError('VM_SPEC_INVALID', field, `a disk that does not begin with ${COW_MAGICS.join(' or ')}`, path);
}

/** Idempotent. What somebody else has taken since, or put in its place, is left alone. */
export async function returnDisks(loanFile: string): Promise<void> {
  const text = await readFile(loanFile, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const { readLoans } = await import('./loans.js');
  for (const { path, ino, uid, gid, to } of readLoans(text)) {
    let fd: number | undefined;
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const found = fstatSync(fd);
      if (found.ino === ino && found.uid === to) fchownSync(fd, uid, gid);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(code ?? '')) throw error;
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
  await rm(loanFile, { force: true });
}

function isOpenTo(user: RunAsUser, fd: number, readOnly: boolean): boolean {
  const { mode, uid, gid } = fstatSync(fd);
  const shift = uid === user.uid ? 6 : [user.gid, ...user.groups].includes(gid) ? 3 : 0;
  const needed = (readOnly ? 4 : 6) << shift;
  return (mode & needed) === needed;
}
