import { closeSync, fstatSync, openSync, readlinkSync } from 'node:fs';
import { geteuid } from 'node:process';
import type { CallOptions } from '../../../core/calls.js';
import type { RunAsUser } from '../../../host/confined-spawn.js';
import { copyData, createMemfd, isSealed, sealMemfd } from '../../../host/memfd.js';
import { markedProcesses } from '../../../host/vmm/run-dir.js';
import { FD } from '../machine-plan.js';
import { qemuMarker } from '../qemu-run-dir.js';
import { openWhole, type SavedData } from './files.js';

/** An open file that a clone maps privately. */
export interface CloneMemory {
  readonly fd: number;
  /**
   * Resolves when its content is there and nobody can change it any more: until then QEMU may start, but no guest may run.
   * Rejects with TEMPLATE_STALE, HOST_IO.
   */
  readonly whole: Promise<void>;
  close(): void;
}

interface Shared {
  users: number;
  readonly fd: number;
  readonly whole: Promise<void>;
  /** Fires when nobody wants it any more. */
  readonly abandoned: AbortController;
}

/**
 * What clones map. QEMU opens it for writing and keeps it open (its memory-backend-file knows no other way of mapping a file
 * privately before version 8.2). So a QEMU that runs as a user of its own does not get the template's file but a copy of it in
 * memory that is sealed: the kernel lets nobody write to it, QEMU's user nor root. All clones of a template map the same copy,
 * which lives as long as one of them: each has it open, and from there the next launch, of whatever manager, takes it. That it
 * is the right one is known from what only root can have made: its name, its owner and its seals. The copy is made while QEMU
 * starts, which reads it only when the guest goes on.
 */
export class TemplateMemory {
  /** By SavedData.id: what launches under way have open. */
  readonly #shared = new Map<string, Shared>();

  /** @throws TEMPLATE_STALE the template's file is not whole; HOST_IO. */
  open(directory: string, data: SavedData, user: RunAsUser | undefined): CloneMemory {
    // The same user could open the template's file by its path.
    const file = openWhole(directory, 'memory', user ? 'r' : 'r+', data.memoryBytes);
    if (!user) return { fd: file, whole: Promise.resolve(), close: () => closeSync(file) };
    closeSync(file);
    const shared = this.#shared.get(data.id) ?? this.#begin(directory, data);
    shared.users += 1;
    return { fd: shared.fd, whole: shared.whole, close: () => this.#close(data.id, shared) };
  }

  #begin(directory: string, data: SavedData): Shared {
    const abandoned = new AbortController();
    const shared = { users: 0, abandoned, ...obtain(directory, data, { signal: abandoned.signal }) };
    this.#shared.set(data.id, shared);
    shared.whole.catch(() => this.#forget(data.id, shared));
    return shared;
  }

  #forget(id: string, shared: Shared): void {
    if (this.#shared.get(id) === shared) this.#shared.delete(id);
  }

  #close(id: string, shared: Shared): void {
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#forget(id, shared);
    shared.abandoned.abort();
    const close = () => closeSync(shared.fd);
    shared.whole.then(close, close);
  }
}

function obtain(directory: string, data: SavedData, call: CallOptions): Pick<Shared, 'fd' | 'whole'> {
  const found = ofLivingClone(data);
  if (found !== undefined) return { fd: found, whole: Promise.resolve() };
  const file = openWhole(directory, 'memory', 'r', data.memoryBytes);
  try {
    const fd = createMemfd(nameOf(data), data.memoryBytes);
    return { fd, whole: fill(file, fd, call) };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Takes over `file`. */
async function fill(file: number, fd: number, call: CallOptions): Promise<void> {
  try {
    await copyData(file, fd, call);
    sealMemfd(fd);
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
