import { rm } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import type { RunAsUser } from '../../host/confined-spawn.js';
import { rememberHeadStart, takeHeadStart } from '../../host/head-start.js';
import { childrenOf, identifyProcess, processArgv } from '../../host/process.js';
import { limitFileSize } from '../../host/rlimit.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { type Begun, begin } from './begin.js';
import { type BeginRequest, writtenBytes } from './command.js';
import { aheadOf, mayBeAhead, recipeOf } from './head-start.js';
import type { NotificationSource } from './notification-source.js';
import type { SlirpTools } from './slirp-process.js';
import { UmlVm } from './uml-vm.js';
import { DRIVER_NAME, type RecordData } from './vm-record.js';

export interface LaunchRequest extends BeginRequest {
  readonly slirpTools: () => Promise<SlirpTools>;
}

const MIB = 1024 * 1024;
const START_POLL_MS = 4;

/** All or nothing: on rejection no process, socket or file of ours remains. */
export async function launch(request: LaunchRequest): Promise<UmlVm> {
  const { spec, options, signal } = request;
  const ahead = await takeHeadStart<Begun>(DRIVER_NAME, aheadOf(request), request.log);
  const begun = ahead ?? (await begin(request));
  const { undo, runDir, user, notifications, process: outer, early, consoleStart, slirp } = begun;
  try {
    const { init, main } = await untilStarted(request, outer, early);
    const process = { ...outer, identity: init };
    const up = untilUp(request, notifications, early).then(async () => {
      await rm(runDir.initramfsFile, { force: true });
      limitConsole(request, main, user);
    });
    up.catch(() => {});
    // Who adopts it, be it at once, counts on its console.
    if (spec.detached) await up;
    await runDir.recordProcess(spec.id, init);
    const data: RecordData = {
      main,
      user: user ? { uid: user.uid, gid: user.gid } : null,
      slots: spec.hotplugNicSlots,
      channels: [...spec.channels],
      consoleLogPath: spec.consoleLogPath,
      consoleStart,
      detached: spec.detached,
    };
    const { commandTimeoutMs } = options;
    throwIfAborted(signal, `launch of VM ${spec.id}`);
    if (mayBeAhead(spec)) rememberHeadStart(DRIVER_NAME, aheadOf(request), recipeOf(request, runDir, user));
    const { slirpTools } = request;
    return new UmlVm({ id: spec.id, runDir, process, data, commandTimeoutMs, slirpTools, slirp, notifications, up });
  } catch (error) {
    throw await undo.fail('VM_HYPERVISOR_FAILED', `VM ${spec.id} was not started, nor wholly undone`, error);
  }
}

/** The file of its memory has been made by now: beside disks, the console is all that it writes to. */
function limitConsole({ spec, options }: LaunchRequest, main: ProcessIdentity, user: RunAsUser | undefined): void {
  limitFileSize(main.pid, Math.max(options.consoleLogMaxMib * MIB, ...writtenBytes(spec)), user);
}

/** Waits until UML runs: unshare → timeout, first of the namespace → UML, which setsid and env become; or as the launcher has it. */
function untilStarted(
  { spec, options, tools, signal }: LaunchRequest,
  outer: VmProcess,
  early: Promise<never>,
): Promise<{ readonly init: ProcessIdentity; readonly main: ProcessIdentity }> {
  const only = (parent: ProcessIdentity) => {
    const [pid] = childrenOf(parent.pid);
    return pid === undefined ? undefined : identifyProcess(pid);
  };
  const onTheWay: readonly (string | undefined)[] = [tools.timeout, tools.setsid, tools.env, spec.launcherPath];
  const what = `start of User Mode Linux for VM ${spec.id}`;
  return withDeadline(what, options.startTimeoutMs, signal, async (call) => {
    // Seen twice: what cannot run at all is gone by then.
    for (let seen = 0; ; ) {
      const init = only(outer.identity);
      const main = init && only(init);
      const argv = main && processArgv(main.pid);
      if (init && main && argv && !onTheWay.includes(argv[0])) seen += 1;
      if (init && main && seen === 2) return { init, main };
      await raceSignal(Promise.race([delay(START_POLL_MS), early]), call.signal, what);
    }
  });
}

/** Waits until UML says that its console is there; its early end ends the wait. */
function untilUp({ spec, options, signal }: LaunchRequest, notifications: NotificationSource, early: Promise<never>) {
  const what = `boot of User Mode Linux for VM ${spec.id}`;
  return withDeadline(what, options.startTimeoutMs, signal, (call) =>
    raceSignal(Promise.race([notifications.up, early]), call.signal, what),
  );
}
