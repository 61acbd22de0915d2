import type { VmExit } from '../../core/hypervisor.js';
import type { ExitEvidence } from '../../host/vmm/vm-life.js';

/** What was seen of a QEMU that has ended. */
export interface QemuExitEvidence extends ExitEvidence {
  /** `reason` of the SHUTDOWN event (qapi/run-state.json, ShutdownCause). */
  readonly shutdownReason: string | undefined;
}

const CRASH_SIGNALS = new Set(['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS']);

export function exitReason(evidence: QemuExitEvidence): VmExit['reason'] {
  const { killed, panicked, shutdownReason, exitCode, signal } = evidence;
  if (killed) return 'killed';
  if (signal !== null) return CRASH_SIGNALS.has(signal) ? 'crashed' : 'killed';
  if (exitCode !== null && exitCode !== 0) return 'crashed';
  if (panicked || shutdownReason === 'guest-panic') return 'panicked';
  if (shutdownReason?.startsWith('guest-')) return 'shutdown';
  if (shutdownReason?.startsWith('host-')) return 'killed';
  if (shutdownReason === 'subsystem-reset') return 'shutdown';
  // Our child ended well before its event was read.
  return exitCode === 0 ? 'shutdown' : 'unknown';
}
