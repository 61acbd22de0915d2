import { z } from 'hyperplug';

export const options = z.strictObject({
  binary: z.string().min(1).default('qemu-system-x86_64').describe('the program, by path or from PATH; run by argv'),
  acceleration: z.enum(['tcg', 'kvm']).default('tcg').describe('tcg works everywhere; kvm needs /dev/kvm'),
  cpuModel: z.string().min(1).default('max').describe('as after -cpu'),
});

export type Options = z.output<typeof options>;
