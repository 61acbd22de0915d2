import type { Duplex } from 'node:stream';
import type { AgentCapabilities, GuestAgent, SessionFeatures } from '../../../core/agent.js';
import type { ContainerSetup } from '../../../core/container.js';
import type { ContractTimeouts } from '../../kit/timeouts.js';
import type { ContractOptions } from '../../runner.js';

/** A guest (or what plays one) that waits for a conversation. */
export interface AgentPeer {
  /** In the order of AgentCapabilities.channels. The suite puts itself between them and the session. */
  readonly channels: readonly Duplex[];
  readonly creditWindowBytes?: number | null;
  readonly resumed?: boolean;
  /** NICs that can be configured, and that nobody else needs; missing or empty: the tests of them are skipped. */
  readonly nics?: readonly { readonly mac: string; readonly expectedName: string }[];
  /** Where readFile() finds the machine id of startPod(). Default `/etc/machine-id`. */
  readonly machineIdPath?: string;
  /** The guest is not needed any more; the session was closed. */
  release(): Promise<void> | void;
}

/** argv of what the guest can run. Missing ones gate tests off, visibly. */
export interface AgentPrograms {
  readonly succeed: readonly string[];
  exit(code: number): readonly string[];
  /** stdin to stdout, to the end. */
  readonly cat: readonly string[];
  /** One text to stdout, the other to stderr. */
  print(out: string, err: string): readonly string[];
  /** Runs for a minute, unless a signal ends it. */
  readonly sleep: readonly string[];
  /** So many bytes to stdout. */
  flood(bytes: number): readonly string[];
  /** Prints the variable and a line end. */
  printEnv(name: string): readonly string[];
  /** Prints the working directory and a line end. */
  readonly workingDirectory: readonly string[];
  /** What cannot be started. */
  readonly missing: readonly string[];
  /** Prints `ROWS COLUMNS` of its terminal. */
  readonly terminalSize?: readonly string[];
  /** The same, once it has read a line. */
  readonly terminalSizeAfterLine?: readonly string[];
}

export interface AgentContract extends Pick<ContractOptions<GuestAgent>, 'runner' | 'label' | 'create' | 'dispose'> {
  /** The plugin's declaration. */
  readonly capabilities: AgentCapabilities;
  /** What a session with these peers can do. */
  readonly features: SessionFeatures;
  /** A guest for one test. */
  peer(): Promise<AgentPeer> | AgentPeer;
  /** Default: POSIX_PROGRAMS. */
  readonly programs?: AgentPrograms;
  /** How many NICs each peer has; fewer than two gate tests off. */
  readonly nicCount?: number;
  /** An existing directory of the guest, for files. Default `/tmp`. */
  readonly directory?: string;
  /**
   * What a container's root can be, with `programs` in it, and which a container may write to. Missing: containers and
   * volumes are not tried (the peer has none, or may not mount).
   */
  readonly container?: { readonly root: ContainerSetup['root'] };
  /** False: destroyPod() is not tried (the peer is shared by tests). Default true. */
  readonly destroyable?: boolean;
  /** Bytes that are sent through processes in the tests of much data. Default 4 MiB. */
  readonly muchBytes?: number;
  readonly timeouts?: Partial<ContractTimeouts>;
}

/** For guests with a shell and the usual programs (busybox will do). */
export const POSIX_PROGRAMS: AgentPrograms = {
  succeed: ['true'],
  exit: (code) => ['sh', '-c', `exit ${code}`],
  cat: ['cat'],
  print: (out, err) => ['sh', '-c', 'printf %s "$1"; printf %s "$2" >&2', 'sh', out, err],
  sleep: ['sleep', '60'],
  flood: (bytes) => ['head', '-c', String(bytes), '/dev/zero'],
  printEnv: (name) => ['printenv', name],
  workingDirectory: ['pwd'],
  missing: ['/no/such/program'],
  terminalSize: ['stty', 'size'],
  terminalSizeAfterLine: ['sh', '-c', 'read line; stty size'],
};
