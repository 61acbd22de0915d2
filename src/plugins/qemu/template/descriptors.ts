import type { VmSpec } from '../../../core/hypervisor.js';
import type { RunAsUser } from '../../../host/confined-spawn.js';
import { createMemfd } from '../../../host/memfd.js';
import type { TemplateParts } from '../command.js';
import { openState, readSavedData } from './files.js';
import type { CloneMemory, TemplateMemory } from './memory.js';

/** @param key of a source alone. */
export const templateParts = (spec: VmSpec, key: string, memory: TemplateMemory): TemplateParts => ({
  key,
  memory: (user) => cloneMemory(spec, memory, user),
  fds: (open) => templateFds(spec, open),
});

/** Of a clone; the caller closes it when the guest runs. @throws TEMPLATE_STALE, HOST_IO. */
function cloneMemory(
  { template: use }: VmSpec,
  memory: TemplateMemory,
  user: RunAsUser | undefined,
): CloneMemory | undefined {
  if (use?.role !== 'clone') return undefined;
  return memory.open(use.directory, readSavedData(use.saved, use.directory), user);
}

/** FD.memory, and for a clone FD.state; `own` are the caller's to close. @throws TEMPLATE_STALE, HOST_IO. */
function templateFds(
  { template: use, memoryMib }: VmSpec,
  memory: CloneMemory | undefined,
): { readonly fds: readonly number[]; readonly own: readonly number[] } {
  if (use?.role === 'source') {
    const source = createMemfd('hyperplug-template-source', memoryMib * 1024 * 1024);
    return { fds: [source], own: [source] };
  }
  if (use?.role !== 'clone' || !memory) return { fds: [], own: [] };
  const state = openState(use.directory, readSavedData(use.saved, use.directory));
  return { fds: [memory.fd, state], own: [state] };
}
