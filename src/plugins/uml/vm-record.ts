import { z } from 'zod';
import { HyperplugError } from '../../core/errors.js';
import type { VmRecord } from '../../core/hypervisor.js';

const identity = z.strictObject({ pid: z.int().positive(), startTime: z.int().nonnegative(), bootId: z.string() });

/** The driver's own part of a VmRecord; VmRecord.process is the first of the VM's PID namespace. */
const recordData = z.strictObject({
  /** UML itself. */
  main: identity,
  /** Who it runs as; null: our user. */
  user: z.strictObject({ uid: z.int(), gid: z.int() }).nullable(),
  slots: z.int().nonnegative(),
  channels: z.array(z.string()),
  consoleLogPath: z.string(),
  /** Size of the console log when the VM began. */
  consoleStart: z.int().nonnegative(),
  detached: z.boolean(),
});
export type RecordData = z.output<typeof recordData>;

export const DRIVER_NAME = 'uml';

/** @throws VM_ADOPT_FAILED: not a record of this driver. */
export function readRecord(record: VmRecord): RecordData {
  const parsed = recordData.safeParse(record.data);
  if (record.driver === DRIVER_NAME && record.version === 1 && parsed.success) return parsed.data;
  throw new HyperplugError('VM_ADOPT_FAILED', `VM ${record.id}: its record is not one of the ${DRIVER_NAME} driver`, {
    details: { id: record.id, driver: record.driver },
    cause: parsed.error,
  });
}
