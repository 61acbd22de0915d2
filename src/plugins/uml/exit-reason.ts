import type { VmExit } from '../../core/hypervisor.js';
import type { ExitEvidence } from '../../host/vmm/vm-life.js';

/** timeout(1): the exit code for a program that a signal ended, less its number. */
const ENDED_BY_SIGNAL = 128;
/** unshare(1) fails to die of the signal that ended timeout, and says so. */
const INIT_KILLED = 'sigprocmask unblock failed';
const CRASH_SIGNALS = new Set([4, 5, 6, 7, 8, 11, 31]);
/** UML's answer to SIGTERM, SIGINT and SIGHUP from outside. */
const TERMINATED = 1;

/** Our child, of which the exit code is, is unshare. */
export function exitReason({ killed, panicked, exitCode, signal, stderrTail }: ExitEvidence): VmExit['reason'] {
  if (killed) return 'killed';
  if (panicked) return 'panicked';
  if (signal !== null) return 'killed';
  if (exitCode === null) return 'unknown';
  if (exitCode > ENDED_BY_SIGNAL) return CRASH_SIGNALS.has(exitCode - ENDED_BY_SIGNAL) ? 'crashed' : 'killed';
  if (exitCode === TERMINATED || stderrTail.includes(INIT_KILLED)) return 'killed';
  // What the guest wrote to /proc/exitcode is its own affair.
  return 'shutdown';
}
