import type { HypervisorVm, VmSpec } from 'hyperplug';
import { todo } from './todo.js';

/**
 * Starts the hypervisor's process by argv, never through a shell, and resolves when its vCPUs run. It dies with this
 * process unless `spec.detached`. On rejection, also by the signal, no process, socket or file remains: register each
 * undo before its step (UndoStack of hyperplug).
 */
export async function launchHypervisor(_driver: string, spec: VmSpec, _signal: AbortSignal): Promise<HypervisorVm> {
  // Where your process runs: return new RunningVm(driver, spec, process identity, …), of vm.ts.
  return todo(`launch of ${spec.id}`);
}
