import { z } from 'zod';
import { runAsShape } from '../../host/vmm/run-as-options.js';

/** The options of the User Mode Linux driver, as they stand in the configuration under `hypervisor.uml`. */
export const umlOptions = z.strictObject({
  binaryPath: z
    .string()
    .startsWith('/')
    .optional()
    .describe('linux.uml to run; default: the one in PATH, else one unpacked from Debian packages'),
  ...runAsShape,
  kernelTuning: z
    .enum(['fast', 'none'])
    .default('fast')
    .describe("fast: kernel arguments that shorten the boot; none: only the console's"),
  consoleLogMaxMib: z.int().positive().max(65_536).default(64).describe('the console log stops growing there'),
  startTimeoutMs: z
    .int()
    .positive()
    .default(20_000)
    .describe('from the start of UML until its management console is up'),
  commandTimeoutMs: z.int().positive().default(20_000).describe('for the answer to one command of that console'),
});

export type UmlOptions = z.output<typeof umlOptions>;
