import { closeSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { geteuid } from 'node:process';
import { type CallOptions, raceSignal } from '../../../core/calls.js';
import type { RunAsUser } from '../../../host/confined-spawn.js';
import { copyData, createMemfd, isSealed, sealMemfd } from '../../../host/memfd.js';
import { markedProcesses } from '../../../host/vmm/run-dir.js';
import { FD } from '../machine-plan.js';
import { qemuMarker } from '../qemu-run-dir.js';
import { openWhole, type SavedData } from './files.js';

/** An open file that a clone maps privately. */
export interface CloneMemory {
  readonly fd: number;
  close(): void;
}

interface Shared {
  users: number;
  readonly fd: Promise<number>;
}

/**
 * What clones map. QEMU opens it for writing and keeps it open (its memory-backend-file knows no other way of mapping a file
 * privately before version 8.2). So a QEMU that runs as a user of its own does not get the template's file but a copy of it in
 * memory that is sealed: the kernel lets nobody write to it, QEMU's user nor root. All clones of a template map the same copy,
 * which lives as long as one of them: each has it open, and from there the next launch, of whatever manager, takes it. That it
 * is the right one is known from what only root can have made: its name, its owner and its seals.
 */
export class TemplateMemory {
  /** By SavedData.id: what launches under way have open. */
  readonly #shared = new Map<string, Shared>();

  /** @throws TEMPLATE_STALE the template's file is not whole; HOST_IO, ABORTED, TIMEOUT. */
  async open(directory: string, data: SavedData, user: RunAsUser | undefined, call: CallOptions): Promise<CloneMemory> {
    // The same user could open the template's file by its path.
    const file = openWhole(directory, 'memory', user ? 'r' : 'r+', data.memoryBytes);
    if (!user) return { fd: file, close: () => closeSync(file) };
    closeSync(file);
    const { id } = data;
    for (;;) {
      const known = this.#shared.get(id);
      const shared = known ?? { users: 0, fd: obtain(directory, data, call) };
      this.#shared.set(id, shared);
      shared.users += 1;
      try {
        return {
          fd: await raceSignal(shared.fd, call.signal, 'memory of a template'),
          close: () => this.#close(id, shared),
        };
      } catch (error) {
        this.#close(id, shared);
        if (this.#shared.get(id) === shared) this.#shared.delete(id);
        // Another launch's copy may be aborted with that launch: then this one makes its own.
        if (!known || call.signal.aborted) throw error;
      }
    }
  }

  #close(id: string, shared: Shared): void {
    shared.users -= 1;
    if (shared.users > 0) return;
    if (this.#shared.get(id) === shared) this.#shared.delete(id);
    shared.fd.then(closeSync, () => {});
  }
}

async function obtain(directory: string, data: SavedData, call: CallOptions): Promise<number> {
  const found = ofLivingClone(data);
  if (found !== undefined) return found;
  const file = openWhole(directory, 'memory', 'r', data.memoryBytes);
  const fd = createMemfd(nameOf(data), data.memoryBytes);
  try {
    await copyData(file, fd, call);
    sealMemfd(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    closeSync(file);
  }
}

const nameOf = ({ id }: SavedData) => `hyperplug-template-${id}`;

/** From a clone that runs, whoever launched it. */
function ofLivingClone(data: SavedData): number | undefined {
  for (const { pid } of markedProcesses(qemuMarker)) {
    const path = `/proc/${pid}/fd/${FD.memory}`;
    let fd: number | undefined;
    try {
      // A name alone says nothing: it is what the process has open that counts.
      if (readlinkSync(path) !== linkOf(data)) continue;
      fd = openSync(path, 'r');
      if (readlinkSync(`/proc/self/fd/${fd}`) === linkOf(data) && isOurs(fd, data)) return fd;
    } catch {
      // It has ended meanwhile.
    }
    if (fd !== undefined) closeSync(fd);
  }
  return undefined;
}

const linkOf = (data: SavedData) => `/memfd:${nameOf(data)} (deleted)`;

function isOurs(fd: number, { memoryBytes }: SavedData): boolean {
  const { uid, size } = fstatSync(fd);
  return uid === geteuid?.() && size === memoryBytes && isSealed(fd);
}
