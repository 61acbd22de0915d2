import { randomUUID } from 'node:crypto';
import type { ProcessIdentity } from '../../core/hypervisor.js';

export interface FakeProcess {
  readonly identity: ProcessIdentity;
  readonly argv: readonly string[];
  /** What a signal from outside does; SIGKILL when it is missing ends it all the same. */
  readonly onSignal?: (signal: NodeJS.Signals) => void;
}

export interface FakeTap {
  readonly name: string;
  /** Whose it is, as an alias would say. */
  readonly owner: string;
  /** The VM that holds it. */
  holder: string | undefined;
}

/**
 * The operating system of the fakes: a process table, tap devices and bridges. Fakes that share a machine see each other's, as
 * programs on one host do; a second FakeHypervisor on the same machine is a restarted manager.
 */
export class FakeMachine {
  readonly bootId = randomUUID();
  readonly processes = new Map<number, FakeProcess>();
  readonly taps = new Map<string, FakeTap>();
  /** Name → network. */
  readonly bridges = new Map<string, string>();
  #lastPid = 1000;
  #clock = 1;

  spawn(argv: readonly string[], onSignal?: FakeProcess['onSignal'], pid = ++this.#lastPid): FakeProcess {
    const identity = Object.freeze({ pid, startTime: this.#clock++, bootId: this.bootId });
    const process: FakeProcess = { identity, argv, ...(onSignal && { onSignal }) };
    this.processes.set(pid, process);
    return process;
  }

  /** The process is gone from the table; a later one of its pid is left alone. */
  exit(identity: ProcessIdentity): void {
    if (this.find(identity)) this.processes.delete(identity.pid);
  }

  /** Exactly this process, if it lives. */
  find(identity: ProcessIdentity): FakeProcess | undefined {
    const found = this.processes.get(identity.pid);
    const same = found?.identity.startTime === identity.startTime && found.identity.bootId === identity.bootId;
    return same ? found : undefined;
  }

  /** kill(2): by pid alone, whoever has it now. False: nobody. */
  signal(pid: number, signal: NodeJS.Signals): boolean {
    const found = this.processes.get(pid);
    if (!found) return false;
    if (found.onSignal) found.onSignal(signal);
    else this.processes.delete(pid);
    return true;
  }

  /** What there is whose command line or owner contains `text`, in words. */
  mentioning(text: string): readonly string[] {
    const processes = [...this.processes.values()].filter(({ argv }) => argv.join(' ').includes(text));
    const taps = [...this.taps.values()].filter(({ owner, holder }) => owner.includes(text) || holder?.includes(text));
    return [
      ...processes.map(({ identity, argv }) => `process ${identity.pid}: ${argv.join(' ')}`),
      ...taps.map(({ name, owner }) => `tap ${name} of ${owner}`),
    ];
  }
}
