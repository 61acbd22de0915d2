import { z } from 'zod';
import { HyperplugError } from '../../core/errors.js';
import type { VmRecord } from '../../core/hypervisor.js';

/** The driver's own part of a VmRecord. What is plugged is not in it: QEMU itself tells. */
const recordData = z.strictObject({
  machine: z.enum(['q35', 'pc']),
  accelerator: z.enum(['kvm', 'tcg']),
  slots: z.int().nonnegative(),
  channels: z.array(z.string()),
  consoleLogPath: z.string(),
  /** Size of the console log when the VM began. */
  consoleStart: z.int().nonnegative(),
  detached: z.boolean(),
  /** It began with NIC_DEFAULTS. */
  nicDefaults: z.boolean().default(false),
  /** Of a source: where it shall be saved, and under which key. */
  template: z.strictObject({ directory: z.string(), key: z.string() }).optional(),
});
export type RecordData = z.output<typeof recordData>;

export const DRIVER_NAME = 'qemu';

/** @throws VM_ADOPT_FAILED: not a record of this driver. */
export function readRecord(record: VmRecord): RecordData {
  const parsed = recordData.safeParse(record.data);
  if (record.driver === DRIVER_NAME && record.version === 1 && parsed.success) return parsed.data;
  throw new HyperplugError('VM_ADOPT_FAILED', `VM ${record.id}: its record is not one of the ${DRIVER_NAME} driver`, {
    details: { id: record.id, driver: record.driver },
    cause: parsed.error,
  });
}
