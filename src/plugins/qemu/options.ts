import { z } from 'zod';
import { runAsShape } from '../../host/vmm/run-as-options.js';

/** The options of the QEMU driver, as they stand in the configuration under `hypervisor.qemu`. */
export const qemuOptions = z.strictObject({
  binaryPath: z
    .string()
    .startsWith('/')
    .optional()
    .describe('qemu-system-x86_64 to run; default: the one in PATH, else one unpacked from Debian packages'),
  acceleration: z
    .enum(['auto', 'kvm', 'tcg'])
    .default('auto')
    .describe('auto: KVM where a guest has been seen to run under it, else software emulation (TCG)'),
  kvmProbeTimeoutMs: z.int().positive().default(3_000).describe('how long the test guest of `auto` may take'),
  kvmVerdict: z
    .enum(['remember', 'probe'])
    .default('remember')
    .describe('remember: one probe per boot of the host, QEMU and kernel; probe: a new one in every process'),
  machine: z.enum(['q35', 'pc']).default('q35').describe('q35 has the quicker NIC hot-plug'),
  firmware: z
    .enum(['seabios', 'qboot'])
    .default('seabios')
    .describe('qboot is smaller; with machine pc it does not boot every kernel'),
  cpuModel: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.+=,-]*$/)
    .default('max')
    .describe('as after `-cpu`'),
  kernelTuning: z
    .enum(['fast', 'none'])
    .default('fast')
    .describe("fast: kernel arguments that shorten the boot; none: only the console's and the panic's"),
  entropyDevice: z.boolean().default(false).describe('a virtio-rng device; not needed with cpuModel max'),
  ...runAsShape,
  consoleLogMaxMib: z.int().positive().max(65_536).default(64).describe('the console log stops growing there'),
  qmpConnectTimeoutMs: z.int().positive().default(20_000).describe('from the start of QEMU to its greeting'),
  qmpCommandTimeoutMs: z.int().positive().default(20_000).describe('for the answer to one command'),
  nicDetachTimeoutMs: z.int().positive().default(20_000).describe('for the guest to give a NIC back'),
});

export type QemuOptions = z.output<typeof qemuOptions>;
