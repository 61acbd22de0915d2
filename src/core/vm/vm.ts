import { setTimeout as delay } from 'node:timers/promises';
import type { GuestAgent, GuestNic, GuestNicConfig, GuestRoute, GuestSession, PodSetup } from '../agent.js';
import type { CallOptions } from '../calls.js';
import { concurrently } from '../concurrently.js';
import { HyperplugError, hasCode } from '../errors.js';
import type { HypervisorDriver, HypervisorVm, VmExit, VmRecord, VmSpec } from '../hypervisor.js';
import type { UndoStack } from '../undo.js';
import { type ConsoleLog, consoleLogFrom, consoleTail } from './console-tail.js';

export interface VmDeps {
  readonly driver: HypervisorDriver;
  readonly agent: GuestAgent;
}

/** One VM and the conversation with the agent in it. */
export class Vm {
  private constructor(
    readonly hypervisor: HypervisorVm,
    readonly session: GuestSession,
    readonly console: ConsoleLog,
  ) {}

  /**
   * Resolves when the agent in the guest is ready; launch() leaves nothing on failure, and from its success on the VM's end
   * is on `undo`. `onLaunched` runs while the guest boots, or goes on.
   */
  static async launch(
    deps: VmDeps,
    spec: VmSpec,
    undo: UndoStack,
    options: CallOptions,
    onLaunched: (hypervisor: HypervisorVm, call: CallOptions) => Promise<void>,
  ): Promise<Vm> {
    const console = await consoleLogFrom(spec.consoleLogPath);
    const hypervisor = await deps.driver.launch(spec, options);
    undo.push('virtual machine', (call) => hypervisor.kill(call));
    const [, vm] = await concurrently<Vm | undefined>(
      [
        (call) => onLaunched(hypervisor, call).then(() => undefined),
        (call) => Vm.#converse(deps, hypervisor, console, spec.template?.role === 'clone', call),
      ],
      options,
    );
    return vm as Vm;
  }

  static async adopt(deps: VmDeps, record: VmRecord, console: ConsoleLog, options: CallOptions): Promise<Vm> {
    const hypervisor = await deps.driver.adopt(record, options);
    try {
      return await Vm.#converse(deps, hypervisor, console, true, options);
    } catch (error) {
      await hypervisor.release();
      throw error;
    }
  }

  static async #converse(
    deps: VmDeps,
    hypervisor: HypervisorVm,
    console: ConsoleLog,
    resumed: boolean,
    options: CallOptions,
  ): Promise<Vm> {
    try {
      const names = deps.agent.capabilities.channels;
      const opened = await Promise.allSettled(names.map((name) => hypervisor.openChannel(name, options)));
      const channels = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      const failed = opened.find((result) => result.status === 'rejected');
      if (failed) {
        for (const channel of channels) channel.destroy();
        throw failed.reason;
      }
      const { creditWindowBytes } = deps.driver.capabilities.channels;
      const session = await deps.agent.connect({ channels, creditWindowBytes, resumed }, options);
      return new Vm(hypervisor, session, console);
    } catch (error) {
      throw await explain(error, hypervisor, console);
    }
  }

  /** Host name, name servers, NICs and routes: sent together, since each answer costs the guest's time. */
  async configure(
    setup: PodSetup,
    nics: readonly GuestNicConfig[],
    routes: readonly GuestRoute[],
    options: CallOptions,
  ): Promise<GuestNic[]> {
    return this.explained(async () => {
      const [, ...guestNics] = await Promise.all([
        this.session.startPod(setup, options),
        ...nics.map((nic) => this.session.setupInterface(nic, options)),
      ]);
      if (routes.length > 0) await this.session.addRoutes(routes, options);
      return guestNics;
    });
  }

  /** What fails because the VM has died says so. */
  async explained<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body();
    } catch (error) {
      throw await explain(error, this.hypervisor, this.console);
    }
  }

  /** Ends the conversation and the VM. Idempotent. */
  async kill(options: CallOptions): Promise<VmExit> {
    await this.session.close();
    return this.hypervisor.kill(options);
  }

  /** Ends the conversation; a detached VM runs on. */
  async release(): Promise<void> {
    await this.session.close();
    await this.hypervisor.release();
  }
}

/** A lost conversation is the VM's death where it died: the error then says why, with the end of the console. */
async function explain(error: unknown, hypervisor: HypervisorVm, console: ConsoleLog): Promise<unknown> {
  const lost = hasCode(error, 'AGENT_CLOSED', 'VM_EXITED', 'VM_NOT_RUNNING', 'AGENT_PROTOCOL', 'TIMEOUT');
  if (!lost) return error;
  // The channel's end comes before the process is seen gone.
  const exit = await Promise.race([hypervisor.exited, delay(500, undefined, { ref: false })]);
  const tail = await consoleTail(console);
  if (!exit) {
    if (!hasCode(error, 'TIMEOUT')) return error;
    return new HyperplugError('TIMEOUT', error.message, {
      cause: error,
      details: { ...error.details, consoleTail: tail },
    });
  }
  return new HyperplugError('VM_EXITED', `the VM has ended: ${exit.reason}`, {
    cause: error,
    details: { ...exit, consoleTail: tail },
  });
}
