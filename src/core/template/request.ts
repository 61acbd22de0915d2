import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { fieldError } from '../errors.js';
import type { HypervisorCapabilities } from '../hypervisor.js';
import { MIN_MEMORY_MIB, type PodDefaults } from '../pod/spec.js';
import { dotted, valueAt } from '../schema-issues.js';
import { AUTOMATIC_PREFIX, isTemplateName, TEMPLATE_NAME, type TemplateShape } from './manifest.js';

const path = z.string().refine(isAbsolute, { error: 'an absolute path' });

export const templateSchema = z.strictObject({
  name: z.string().refine(isTemplateName, { error: TEMPLATE_NAME }),
  memoryMib: z.int().optional(),
  cpus: z.int().optional(),
  nicSlots: z.int().optional().describe('NICs that a pod made from it can have at once'),
  kernel: path.optional().describe('instead of the one that is configured'),
  initramfs: path.optional().describe('instead of the one that is configured'),
});

/** @throws TEMPLATE_INVALID naming field, expectation and value. */
export function checkRequest(
  input: unknown,
  defaults: PodDefaults,
  limits: HypervisorCapabilities,
): { readonly name: string; readonly shape: TemplateShape } {
  const parsed = templateSchema.safeParse(input);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const at = issue?.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : (issue?.path ?? []);
    const expected = issue?.code === 'unrecognized_keys' ? 'no such field' : (issue?.message ?? '');
    throw fieldError('TEMPLATE_INVALID', dotted(at) || 'template', expected, valueAt(input, at));
  }
  const { name, kernel, initramfs } = parsed.data;
  const { memoryMib = defaults.memoryMib, cpus = defaults.cpus, nicSlots = defaults.nicSlots + 1 } = parsed.data;
  if (name.startsWith(AUTOMATIC_PREFIX)) {
    throw fieldError('TEMPLATE_INVALID', 'name', `one that does not begin with ${AUTOMATIC_PREFIX}`, name);
  }
  const bounded = (field: string, value: number, min: number, max: number, unit = '') => {
    if (value >= min && value <= max) return;
    throw fieldError('TEMPLATE_INVALID', field, `${min} to ${max}${unit}`, value);
  };
  bounded('memoryMib', memoryMib, MIN_MEMORY_MIB, limits.maxMemoryMib, ' MiB');
  bounded('cpus', cpus, 1, limits.maxCpus);
  bounded('nicSlots', nicSlots, 0, limits.hotplugNic ? limits.maxNics : 0);
  return {
    name,
    shape: { memoryMib, cpus, nicSlots, ...(kernel && { kernel }), ...(initramfs && { initramfs }) },
  };
}
