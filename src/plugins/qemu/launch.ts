import type { Socket } from 'node:net';
import { type CallOptions, raceSignal, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import { staleTemplate } from '../../core/vm/check-template.js';
import type { RunAsUser } from '../../host/confined-spawn.js';
import { rememberHeadStart, takeHeadStart } from '../../host/head-start.js';
import { explainForward } from '../../host/vmm/forwards.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { type BeginRequest, type Begun, begin, type Listener } from './begin.js';
import { forwardsNamed, tellsOfForward } from './forward-words.js';
import { aheadOf, mayBeAhead } from './head-start.js';
import type { QemuRunDir } from './qemu-run-dir.js';
import { openSocket, QemuVm } from './qemu-vm.js';
import { QmpClient } from './qmp/client.js';
import { cloneMemory, templateFds } from './template/descriptors.js';
import type { CloneMemory, TemplateMemory } from './template/memory.js';
import { restore } from './template/restore.js';
import { DRIVER_NAME } from './vm-record.js';

/** Of a source or a clone. */
export interface TemplateRequest {
  /** HypervisorDriver.templateKey() of its specification. */
  readonly key: string;
  readonly memory: TemplateMemory;
}

export interface LaunchRequest extends Omit<BeginRequest, 'template' | 'runs'> {
  readonly template: TemplateRequest | undefined;
}

/** All or nothing: on rejection no process, socket or file of ours remains. */
export async function launch(request: LaunchRequest): Promise<QemuVm> {
  const { spec, options, signal } = request;
  const { undo, runDir, listener, process, data, memory } = await beginOrTake(request);
  try {
    const qmp = await greet(request, listener, process);
    undo.push('QMP connection', async () => qmp.close());
    const { qmpCommandTimeoutMs: commandTimeoutMs, nicDetachTimeoutMs: detachTimeoutMs } = options;
    const begun = new Map<string, Socket>();
    if (spec.template?.role === 'clone') {
      undo.push('channels', async () => begun.forEach((socket) => void socket.destroy()));
      await beginChannels(spec, runDir, begun, { signal });
    }
    const parts = { id: spec.id, runDir, process, qmp, data, commandTimeoutMs, detachTimeoutMs, begun };
    const vm = new QemuVm(parts);
    vm.nicPlug.coldplugged(spec.nics);
    await withDeadline(`start of VM ${spec.id}`, commandTimeoutMs, signal, async (call) => {
      await raceSignal(memory?.whole ?? Promise.resolve(), call.signal, 'memory of a template');
      if (spec.template?.role === 'clone') await restore(spec.template.directory, qmp, call);
      else await qmp.execute('cont', undefined, call);
    });
    listener.close();
    if (mayBeAhead(spec)) rememberHeadStart(DRIVER_NAME, aheadOf(request));
    return vm;
  } catch (error) {
    throw await undo.fail(
      'VM_HYPERVISOR_FAILED',
      `VM ${spec.id} was not started, nor wholly undone`,
      await explain(error, spec, process),
    );
  } finally {
    memory?.close();
  }
}

async function beginOrTake(request: LaunchRequest): Promise<Begun> {
  const { spec, template, log } = request;
  const ahead = await takeHeadStart<Begun>(DRIVER_NAME, aheadOf(request), log);
  if (ahead) return ahead;
  const parts = template && {
    key: template.key,
    memory: (user: RunAsUser | undefined) => cloneMemory(spec, template.memory, user),
    fds: (memory: CloneMemory | undefined) => templateFds(spec, memory),
  };
  return begin({ ...request, template: parts, runs: false });
}

/**
 * A clone's guest finds its channels as they were when it was saved, held: it has nothing to hear of that, and what is written
 * to them meanwhile is there when it goes on.
 */
async function beginChannels(spec: VmSpec, runDir: QemuRunDir, begun: Map<string, Socket>, call: CallOptions) {
  const open = async (name: string, index: number) => {
    begun.set(name, await openSocket(runDir.channelSocket(index), call));
  };
  const opened = await Promise.allSettled(spec.channels.map(open));
  for (const each of opened) if (each.status === 'rejected') throw each.reason;
}

/** Waits for QEMU's connection and speaks QMP on it; its early end ends the wait. */
async function greet({ spec, options, signal }: LaunchRequest, listener: Listener, process: VmProcess) {
  const what = `greeting of QEMU for VM ${spec.id}`;
  const early = process.exited.then(async ({ exitCode, signal: killer }): Promise<never> => {
    throw await earlyEnd(spec, process, exitCode, killer);
  });
  early.catch(() => {});
  return withDeadline(what, options.qmpConnectTimeoutMs, signal, async (call) => {
    const socket = await raceSignal(Promise.race([listener.connection, early]), call.signal, what);
    const explainLoss = async () => {
      await process.exited;
      const words = (await process.stderrTail()).trim();
      return { words: words === '' ? '' : `: ${words}`, details: { stderrTail: words } };
    };
    return QmpClient.connect(socket, { explainLoss }, call);
  });
}

async function earlyEnd(spec: VmSpec, process: VmProcess, exitCode: number | null, killer: string | null) {
  const stderrTail = await process.stderrTail();
  const how = killer === null ? `exit code ${exitCode}` : `killed by ${killer}`;
  const words = stderrTail.trim().split('\n').slice(-3).join(' / ');
  return new HyperplugError('VM_HYPERVISOR_FAILED', `QEMU of VM ${spec.id} ended early (${how}): ${words}`, {
    details: { id: spec.id, exitCode, signal: killer, stderrTail },
  });
}

/** A lost connection is told as QEMU's early end, and that as the port in use that it was about. */
async function explain(error: unknown, spec: VmSpec, process: VmProcess | undefined): Promise<unknown> {
  let known = error;
  if (process && hasCode(error, 'QMP_CLOSED')) {
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 1_000, undefined).unref());
    const end = await Promise.race([process.exited, late]);
    if (end) known = await earlyEnd(spec, process, end.exitCode, end.signal);
  }
  if (!isHyperplugError(known) || known.code !== 'VM_HYPERVISOR_FAILED') return known;
  const words = String(known.details.stderrTail ?? '');
  // migration/migration.c says so of a state that it cannot read.
  if (spec.template?.role === 'clone' && words.includes('load of migration failed')) {
    return staleTemplate(spec.template.directory, `QEMU cannot go on from it: ${words.trim()}`, known);
  }
  if (!tellsOfForward(words)) return known;
  const forwards = spec.nics.flatMap(({ endpoint }) => (endpoint.kind === 'builtin' ? endpoint.forwards : []));
  return (await explainForward(forwardsNamed(words, forwards))) ?? known;
}
