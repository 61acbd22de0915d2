import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SavedTemplate, VmSpec } from '../../../core/hypervisor.js';
import type { JsonValue } from '../../../core/json.js';
import { staleTemplate } from '../../../core/vm/check-template.js';

const MEMORY_BYTES = 4096;
const digest = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

/** What a clone has in common with the VM that was saved. */
export function fakeTemplateKey(driver: string, spec: VmSpec): string {
  const { cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels, hotplugNicSlots } = spec;
  const parts = { driver, cpus, memoryMib, kernelPath, initramfsPath, kernelArgs, channels, hotplugNicSlots };
  return digest(JSON.stringify(parts));
}

/** The memory first. Two steps, so that a save can fail in the midst. */
export function* writeFakeTemplate(directory: string, guest: JsonValue): Generator<void, JsonValue> {
  const memory = randomBytes(MEMORY_BYTES);
  writeFileSync(join(directory, 'memory'), memory, { mode: 0o600 });
  yield;
  const state = JSON.stringify(guest);
  writeFileSync(join(directory, 'state'), state, { mode: 0o600 });
  return { memory: digest(memory), state: digest(state) };
}

export function clearFakeTemplate(directory: string): void {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { force: true });
}

/** The guest as it was saved. @throws TEMPLATE_STALE */
export function readFakeTemplate(directory: string, saved: SavedTemplate): JsonValue {
  const read = (name: 'memory' | 'state') => {
    const wanted = (saved.data as { readonly [name: string]: JsonValue } | null)?.[name];
    try {
      const bytes = readFileSync(join(directory, name));
      if (digest(bytes) === wanted) return bytes;
    } catch (cause) {
      throw staleTemplate(directory, `${name} cannot be read`, cause);
    }
    throw staleTemplate(directory, `${name} is not what was saved`);
  };
  read('memory');
  return JSON.parse(read('state').toString()) as JsonValue;
}
