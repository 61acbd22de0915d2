import { hasCode, isHyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import { staleTemplate } from '../../core/vm/check-template.js';
import { rememberHeadStart, takeHeadStart } from '../../host/head-start.js';
import { explainForward } from '../../host/vmm/forwards.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { begin } from './begin.js';
import type { BeginRequest } from './command.js';
import { connect, disconnect, earlyEnd, goOn } from './connect.js';
import { forwardsNamed, tellsOfForward } from './forward-words.js';
import { aheadOf, type BegunAhead, mayBeAhead, recipeOf } from './head-start.js';
import { QemuVm } from './qemu-vm.js';
import { templateParts } from './template/descriptors.js';
import type { TemplateMemory } from './template/memory.js';
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
  const { undo, runDir, user, listener, process, data, memory, goesOn } = await beginOrTake(request);
  try {
    const connected = await (goesOn ?? connect(request, { runDir, listener, process }, signal));
    const { qmp, channels } = connected;
    undo.push('connections', async () => disconnect(connected));
    const { qmpCommandTimeoutMs: commandTimeoutMs, nicDetachTimeoutMs: detachTimeoutMs } = options;
    const parts = { id: spec.id, runDir, process, qmp, data, commandTimeoutMs, detachTimeoutMs, begun: channels };
    const vm = new QemuVm(parts);
    vm.nicPlug.coldplugged(spec.nics);
    if (!goesOn) await goOn(request, memory, qmp, signal);
    listener.close();
    if (mayBeAhead(spec)) rememberHeadStart(DRIVER_NAME, aheadOf(request), await recipeOf(request, runDir, user));
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

async function beginOrTake(request: LaunchRequest): Promise<BegunAhead> {
  const { spec, template, log } = request;
  const ahead = await takeHeadStart<BegunAhead>(DRIVER_NAME, aheadOf(request), log);
  if (ahead) return ahead;
  const parts = template && templateParts(spec, template.key, template.memory);
  return begin({ ...request, template: parts, runs: false });
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
