import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SavedTemplate } from '../../../core/hypervisor.js';
import { staleTemplate } from '../../../core/vm/check-template.js';
import { stateFile } from './paths.js';

/** The driver's own part of a SavedTemplate. */
export type SavedData = {
  /** Drawn when it was saved; what the memory is called where several VMs share it. */
  readonly id: string;
  readonly memoryBytes: number;
  readonly stateBytes: number;
  /** SHA-256. */
  readonly stateDigest: string;
};

/** By hand: a head start reads it before zod is loaded. */
function isSavedData(data: unknown): data is SavedData {
  if (typeof data !== 'object' || data === null || Object.keys(data).length !== 4) return false;
  const { id, memoryBytes, stateBytes, stateDigest } = data as Partial<SavedData>;
  const isSize = (bytes: unknown) => Number.isSafeInteger(bytes) && (bytes as number) > 0;
  return (
    typeof id === 'string' &&
    /^[0-9a-f]{32}$/.test(id) &&
    isSize(memoryBytes) &&
    isSize(stateBytes) &&
    typeof stateDigest === 'string'
  );
}

export const digestOfState = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** @throws TEMPLATE_STALE */
export function readSavedData({ data }: SavedTemplate, directory: string): SavedData {
  if (isSavedData(data)) return data;
  throw staleTemplate(directory, 'what is recorded of it is not of this version');
}

/** The saved state, open for reading; the caller closes it. @throws TEMPLATE_STALE it is not as it was saved. */
export function openState(directory: string, { stateBytes, stateDigest }: SavedData): number {
  const fd = openWhole(directory, 'state', 'r', stateBytes);
  // Read by position: QEMU begins where the descriptor stands.
  const content = readFileSync(stateFile(directory));
  if (digestOfState(content) === stateDigest) return fd;
  closeSync(fd);
  throw staleTemplate(directory, 'state has another content than was saved');
}

/** @throws TEMPLATE_STALE it is not there, or not of its size. */
export function openWhole(directory: string, name: 'memory' | 'state', flags: 'r' | 'r+', bytes: number): number {
  let fd: number;
  try {
    fd = openSync(join(directory, name), flags);
  } catch (cause) {
    throw staleTemplate(directory, `${name} cannot be opened: ${(cause as Error).message}`, cause);
  }
  const { size } = fstatSync(fd);
  if (size === bytes) return fd;
  closeSync(fd);
  throw staleTemplate(directory, `${name} has ${size} bytes in place of ${bytes}`);
}
