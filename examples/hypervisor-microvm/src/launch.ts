import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type CallOptions,
  HyperplugError,
  type HypervisorVm,
  hasCode,
  identifyProcess,
  killProcess,
  type ProcessIdentity,
  throwIfAborted,
  UndoStack,
  type VmSpec,
} from 'hyperplug';
import { vmArgv } from './argv.js';
import type { Options } from './options.js';
import { QmpClient, type QmpEvent } from './qmp.js';
import { qmpPath, removeFiles, runningIn, stderrPath, stderrTail } from './run-dir.js';
import { RunningVm } from './vm.js';

const POLL_MS = 10;

/** Starts QEMU, with everything there and nothing running, then lets the vCPUs go. On rejection nothing remains. */
export async function launchHypervisor(
  driver: string,
  spec: VmSpec,
  options: Options,
  signal: AbortSignal,
): Promise<HypervisorVm> {
  if (await runningIn(spec.runDir)) {
    throw new HyperplugError('VM_ALREADY_EXISTS', `VM ${spec.id} runs already`, { details: { id: spec.id } });
  }
  const undo = new UndoStack();
  try {
    undo.push('its files', () => removeFiles(spec.runDir));
    const { child, process } = await startQemu(spec, options);
    undo.push('QEMU', (call) => killProcess(process, call));
    const events: { take: (event: QmpEvent) => void } = { take: () => {} };
    const qmp = await connectQmp(spec, child, (event) => events.take(event), { signal });
    undo.push('the connection to QEMU', async () => qmp.close());
    await qmp.execute('cont', {}, { signal });
    throwIfAborted(signal, `launch ${spec.id}`);
    const nics = spec.nics.map(({ id, mac }, slot) => Object.freeze({ id, mac, slot }));
    const { id, runDir, channels, detached } = spec;
    const vm = new RunningVm({ driver, id, runDir, channels, detached, nics, process, qmp, child });
    events.take = (event) => vm.take(event);
    undo.clear();
    return vm;
  } catch (cause) {
    throw await undo.fail('VM_HYPERVISOR_FAILED', `launch of VM ${spec.id}`, cause);
  }
}

async function startQemu(
  spec: VmSpec,
  options: Options,
): Promise<{ readonly child: ChildProcess; readonly process: ProcessIdentity }> {
  const [file, ...args] = vmArgv(spec, options) as [string, ...string[]];
  const stderr = openSync(stderrPath(spec.runDir), 'a', 0o600);
  try {
    // A session of its own: a terminal's Ctrl-C does not reach it.
    const child = spawn(file, args, { cwd: '/', detached: true, stdio: ['ignore', 'ignore', stderr] });
    const failed = new Promise<never>((_, reject) => child.once('error', reject));
    failed.catch(() => {});
    if (child.pid === undefined) await failed;
    if (spec.detached) child.unref();
    const process = identifyProcess(child.pid as number);
    if (process) return { child, process };
    throw new HyperplugError('VM_HYPERVISOR_FAILED', `${file} ended at once`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new HyperplugError('HOST_TOOL_MISSING', `${file} is not installed`, { cause });
  } finally {
    closeSync(stderr);
  }
}

/** QEMU listens a moment after its start, or it ends and says why. */
async function connectQmp(
  spec: VmSpec,
  child: ChildProcess,
  onEvent: (event: QmpEvent) => void,
  options: CallOptions,
): Promise<QmpClient> {
  for (;;) {
    throwIfAborted(options.signal, `launch ${spec.id}`);
    if (child.exitCode !== null || child.signalCode !== null) throw earlyExit(spec, child);
    try {
      return await QmpClient.connect(qmpPath(spec.runDir), onEvent, options);
    } catch (error) {
      if (!hasCode(error, 'QMP_CLOSED')) throw error;
      await pause(POLL_MS);
    }
  }
}

function earlyExit(spec: VmSpec, { exitCode, signalCode }: ChildProcess): HyperplugError {
  const stderr = stderrTail(spec.runDir);
  const port = /Could not set up host forwarding rule '([^']*)'/.exec(stderr)?.[1];
  if (port) return new HyperplugError('NET_PORT_IN_USE', `host port of ${port} is in use`, { details: { stderr } });
  const how = signalCode ?? `exit code ${exitCode}`;
  return new HyperplugError('VM_HYPERVISOR_FAILED', `QEMU ended early (${how}): ${stderr.trim()}`, {
    details: { exitCode, signal: signalCode, stderrTail: stderr },
  });
}
