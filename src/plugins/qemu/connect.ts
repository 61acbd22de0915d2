import type { Socket } from 'node:net';
import { type CallOptions, raceSignal, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { VmSpec } from '../../core/hypervisor.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import type { Begun } from './begin.js';
import type { BeginRequest } from './command.js';
import { openSocket } from './open-socket.js';
import { QmpClient } from './qmp/client.js';
import type { CloneMemory } from './template/memory.js';
import { restore } from './template/restore.js';

/** The conversations with a QEMU that was begun. */
export interface Connected {
  readonly qmp: QmpClient;
  /** By their names, those of the agent that are held from the beginning: a clone's. */
  readonly channels: ReadonlyMap<string, Socket>;
}

type Request = Pick<BeginRequest, 'spec' | 'options'>;

/** The second part of a launch. On rejection nothing is open; the process is the caller's. */
export async function connect(
  request: Request,
  begun: Pick<Begun, 'runDir' | 'listener' | 'process'>,
  signal: AbortSignal,
): Promise<Connected> {
  const { spec } = request;
  const qmp = await greet(request, begun, signal);
  const channels = new Map<string, Socket>();
  try {
    if (spec.template?.role === 'clone') await beginChannels(spec, begun, channels, { signal });
    return { qmp, channels };
  } catch (error) {
    disconnect({ qmp, channels });
    throw error;
  }
}

/** Idempotent. */
export function disconnect({ qmp, channels }: Connected): void {
  for (const socket of channels.values()) socket.destroy();
  qmp.close();
}

/** The third: the guest runs when this resolves. */
export function goOn(
  { spec, options }: Request,
  memory: CloneMemory | undefined,
  qmp: QmpClient,
  signal: AbortSignal,
): Promise<void> {
  return withDeadline(`start of VM ${spec.id}`, options.qmpCommandTimeoutMs, signal, async (call) => {
    await raceSignal(memory?.whole ?? Promise.resolve(), call.signal, 'memory of a template');
    if (spec.template?.role === 'clone') await restore(spec.template.directory, qmp, call);
    else await qmp.execute('cont', undefined, call);
  });
}

/**
 * A clone's guest finds its channels as they were when it was saved, held: it has nothing to hear of that, and what is written
 * to them meanwhile is there when it goes on.
 */
async function beginChannels(
  spec: VmSpec,
  { runDir }: Pick<Begun, 'runDir'>,
  channels: Map<string, Socket>,
  call: CallOptions,
): Promise<void> {
  const open = async (name: string, index: number) => {
    channels.set(name, await openSocket(runDir.channelSocket(index), call));
  };
  const opened = await Promise.allSettled(spec.channels.map(open));
  for (const each of opened) if (each.status === 'rejected') throw each.reason;
}

/** Waits for QEMU's connection and speaks QMP on it; its early end ends the wait. */
async function greet(
  { spec, options }: Request,
  { listener, process }: Pick<Begun, 'listener' | 'process'>,
  signal: AbortSignal,
): Promise<QmpClient> {
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

export async function earlyEnd(spec: VmSpec, process: VmProcess, exitCode: number | null, killer: string | null) {
  const stderrTail = await process.stderrTail();
  const how = killer === null ? `exit code ${exitCode}` : `killed by ${killer}`;
  const words = stderrTail.trim().split('\n').slice(-3).join(' / ');
  return new HyperplugError('VM_HYPERVISOR_FAILED', `QEMU of VM ${spec.id} ended early (${how}): ${words}`, {
    details: { id: spec.id, exitCode, signal: killer, stderrTail },
  });
}
