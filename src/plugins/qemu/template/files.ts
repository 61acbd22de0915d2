import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { SavedTemplate } from '../../../core/hypervisor.js';
import { staleTemplate } from '../../../core/vm/check-template.js';
import { stateFile } from './paths.js';

/** The driver's own part of a SavedTemplate. */
const savedData = z.strictObject({
  /** Drawn when it was saved; what the memory is called where several VMs share it. */
  id: z.string().regex(/^[0-9a-f]{32}$/),
  memoryBytes: z.int().positive(),
  stateBytes: z.int().positive(),
  /** SHA-256. */
  stateDigest: z.string(),
});
export type SavedData = z.output<typeof savedData>;

export const digestOfState = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** @throws TEMPLATE_STALE */
export function readSavedData({ data }: SavedTemplate, directory: string): SavedData {
  const parsed = savedData.safeParse(data);
  if (parsed.success) return parsed.data;
  throw staleTemplate(directory, 'what is recorded of it is not of this version', parsed.error);
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
