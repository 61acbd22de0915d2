import { setTimeout as delay } from 'node:timers/promises';
import { HyperplugError, hasCode } from '../errors.js';
import type { VmExit } from '../hypervisor.js';
import { consoleTail } from '../vm/console-tail.js';

/** After a channel broke: how long the VM's own end may take to be known, for a better reason. */
const VM_EXIT_WAIT_MS = 1_000;

const WORDS: Readonly<Record<VmExit['reason'], string>> = {
  shutdown: 'was shut down',
  panicked: 'panicked',
  killed: 'was killed',
  crashed: 'crashed',
  unknown: 'ended',
};

/** For a command whose conversation broke, the VM's end where that is why; else the error as it is. */
export async function endedWith(
  pod: { readonly exited: Promise<VmExit>; readonly consoleLogPath: string; readonly consoleStart?: number },
  error: unknown,
): Promise<unknown> {
  if (!hasCode(error, 'AGENT_CLOSED', 'AGENT_PROTOCOL', 'VM_EXITED', 'VM_NOT_RUNNING')) return error;
  const exit = await Promise.race([pod.exited, delay(VM_EXIT_WAIT_MS, undefined, { ref: false })]);
  if (!exit) return error;
  const { reason, exitCode, signal, stderrTail } = exit;
  const tail = await consoleTail({ path: pod.consoleLogPath, start: pod.consoleStart ?? 0 });
  return new HyperplugError('VM_EXITED', `the pod's VM ${WORDS[reason]} while the command ran`, {
    cause: error,
    details: { reason, exitCode, signal, stderrTail, consoleTail: tail },
  });
}
