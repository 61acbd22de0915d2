import { z } from 'zod';

const identity = z.strictObject({ pid: z.int().positive(), startTime: z.int().nonnegative(), bootId: z.string() });
const vmFile = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  /** Who launches or launched it. */
  launcher: identity,
  /** The hypervisor, once it has been started. */
  process: identity.optional(),
});

/** The content of vm.json in a VM's run directory. */
export type VmFile = z.output<typeof vmFile>;

/** undefined: it is none of this version. */
export function parseVmFile(text: string): VmFile | undefined {
  try {
    const parsed = vmFile.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
