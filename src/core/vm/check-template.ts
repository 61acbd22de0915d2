import { readdir } from 'node:fs/promises';
import { fieldError, HyperplugError } from '../errors.js';
import type { HypervisorDriver, VmSpec } from '../hypervisor.js';

/**
 * For drivers: whether a VM can have the part in a template that its specification says.
 * @throws NOT_SUPPORTED, VM_SPEC_INVALID naming the field, TEMPLATE_STALE it was saved by another driver.
 */
export async function checkTemplate(
  { template, nics, disks, shares }: Pick<VmSpec, 'template' | 'nics' | 'disks' | 'shares'>,
  { name, capabilities }: Pick<HypervisorDriver, 'name' | 'capabilities'>,
): Promise<void> {
  if (!template) return;
  if (!capabilities.snapshot) throw new HyperplugError('NOT_SUPPORTED', `hypervisor ${name} does not declare snapshot`);
  for (const [field, list] of Object.entries({ nics, disks, shares })) {
    if (list.length > 0)
      throw fieldError('VM_SPEC_INVALID', field, 'none in a template nor in its clones', list.length);
  }
  if (template.role === 'source') {
    const found = await readdir(template.directory).catch((error: NodeJS.ErrnoException) => [String(error.code)]);
    if (found.length === 0) return;
    const wanted = 'an empty directory, by its path';
    throw fieldError('VM_SPEC_INVALID', 'template.directory', wanted, `${template.directory} (${found.join(', ')})`);
  }
  const { version, driver } = template.saved;
  if (version === 1 && driver === name) return;
  throw staleTemplate(template.directory, `it was saved by hypervisor ${driver} (version ${version})`);
}

/** @throws TEMPLATE_STALE unless the template was saved under this key (HypervisorDriver.templateKey). */
export function checkTemplateKey({ template }: Pick<VmSpec, 'template'>, key: string): void {
  if (template?.role !== 'clone' || template.saved.key === key) return;
  throw staleTemplate(template.directory, 'hypervisor, kernel or machine are not those that it was saved with');
}

export function staleTemplate(directory: string, why: string, cause?: unknown): HyperplugError {
  return new HyperplugError('TEMPLATE_STALE', `template in ${directory}: ${why}`, { cause, details: { directory } });
}
