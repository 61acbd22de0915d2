import type { Duplex, Readable, Writable } from 'node:stream';
import type { CallOptions } from './calls.js';
import type {
  ContainerExit,
  ContainerLog,
  ContainerProcess,
  ContainerSetup,
  GuestContainer,
  GuestMount,
  GuestStats,
} from './container.js';
import type { InterfaceAddress } from './network.js';

export interface AgentCapabilities {
  /** Names of the channels the agent needs, control first. They become VmSpec.channels. */
  readonly channels: readonly string[];
  readonly terminal: boolean;
  readonly files: boolean;
  readonly onlineCpuMemory: boolean;
}

/** What one session can do, known after connect(): an original agent can do less than ours. */
export interface SessionFeatures {
  /** NICs are found by MAC; else by the name the kernel is expected to give. */
  readonly nicByMac: boolean;
  /** Links, addresses and routes can be read back. */
  readonly readNetwork: boolean;
  /** Failures carry the guest kernel's reason. */
  readonly errorTexts: boolean;
  /** A slow reader of one stream holds up no other. */
  readonly streamCredit: boolean;
  readonly ipv6: boolean;
  /** Containers; exec and files in them; modes and owners of files. Else what is about them is NOT_SUPPORTED. */
  readonly containers: boolean;
  /** mountVolume and unmountVolume. */
  readonly volumes: boolean;
  /** reseed, setClock and PodSetup.machineId: what a guest that was cloned or paused for long needs before it goes on. */
  readonly renewal: boolean;
  readonly stats: boolean;
}

export interface AgentConnection {
  /** In the order of AgentCapabilities.channels; the session owns and ends them. */
  readonly channels: readonly Duplex[];
  /** See HypervisorCapabilities.channels. */
  readonly creditWindowBytes: number | null;
  /** True: the guest has run before (adopted), so READY is not awaited and stale bytes may come first. */
  readonly resumed: boolean;
}

/** What an agent plugin implements: the host's end of the conversation with the agent in the guest. */
export interface GuestAgent {
  readonly name: string;
  readonly capabilities: AgentCapabilities;
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
  /**
   * Waits until the agent is ready and agrees on the protocol. On rejection the channels are destroyed.
   * @throws AGENT_VERSION, AGENT_PROTOCOL, AGENT_CLOSED, TIMEOUT, ABORTED.
   */
  connect(connection: AgentConnection, options: CallOptions): Promise<GuestSession>;
}

export interface PodSetup {
  readonly hostname: string;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /**
   * machine-id(5), 32 digits of lower-case hex: what the guest's /etc/machine-id says from then on. undefined, or in a session
   * without `renewal`: the file is left as it is.
   */
  readonly machineId?: string;
}

export interface GuestNicConfig {
  /** Identity. Where the session cannot find by MAC, `expectedName` is used; and for `lo`, whose MAC is all zeros. */
  readonly mac: string;
  readonly expectedName: string;
  /** The name to give it; undefined: leave it. */
  readonly name?: string;
  /** The addresses it shall have in addition to what it has. */
  readonly addAddresses: readonly InterfaceAddress[];
  readonly removeAddresses: readonly InterfaceAddress[];
  /** undefined: leave it. */
  readonly mtu?: number;
}

/** A link of the guest, as its kernel tells. */
export interface GuestNic {
  readonly name: string;
  /** undefined where the session cannot read back. */
  readonly index?: number;
  readonly mac: string;
  readonly mtu?: number;
  readonly up?: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

export interface GuestRoute {
  /** CIDR, or `default` (of the gateway's family, else IPv4). */
  readonly destination: string;
  readonly gateway?: string;
  /** MAC of the NIC it leaves by. */
  readonly mac?: string;
  /** Its name, where the MAC is not known (loopback, read back). */
  readonly device?: string;
  readonly metric?: number;
}

export interface GuestNetwork {
  readonly links: readonly GuestNic[];
  readonly routes: readonly GuestRoute[];
}

export interface ExecSpec {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  /** Name or number; undefined: root. */
  readonly user?: string;
  readonly group?: string;
  readonly additionalGroups?: readonly string[];
  readonly terminal: boolean;
  /** Initial size of the terminal. */
  readonly size?: TerminalSize;
  /** Id of a container, whose namespaces and root it gets; undefined: the guest's own. */
  readonly container?: string;
  /** It is the container's main process; see GuestSession.startContainer, which has no streams. */
  readonly main?: boolean;
}

/** Where a file is, and whose it becomes. */
export interface FileTarget {
  /** Id of a container whose root `path` is in; undefined: the guest's own. */
  readonly container?: string;
  /** Permission bits; undefined: those the file has, 0644 for a new one. */
  readonly mode?: number;
  /** Names or numbers, looked up in that root; undefined: the owner it has, root for a new one. */
  readonly user?: string;
  readonly group?: string;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface ExecExit {
  /** 0 to 255; 128 + n when a signal n ended it. */
  readonly exitCode: number;
  /** Number of the signal that ended it, where the agent tells. */
  readonly signal?: number;
}

export interface GuestProcess {
  readonly id: string;
  /** Its write callback comes when the guest has room: backpressure is end to end. end() is end of file in the guest. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** With a terminal: ended from the start. */
  readonly stderr: Readable;
  /** Resolves when the process has ended; the streams may still hold output. Rejects with AGENT_CLOSED if the session dies. */
  readonly exited: Promise<ExecExit>;
  /** @throws AGENT_REFUSED it has ended already, or the agent cannot. */
  kill(signal: number, options: CallOptions): Promise<void>;
  resize(size: TerminalSize, options: CallOptions): Promise<void>;
}

/**
 * A conversation with one agent. Any number of calls and processes at once. When a channel dies every waiting call
 * rejects with AGENT_CLOSED at once and every stream is destroyed with it.
 * What the guest refuses is AGENT_REFUSED with `details.reason` (and `details.errno` where the guest's kernel gave one).
 */
export interface GuestSession {
  readonly features: SessionFeatures;
  /** Protocol and program, for people: `hyperstart 4244 + hyperplug 1`. */
  readonly description: string;
  /** Resolves, with the reason, when the session is over. */
  readonly closed: Promise<Error>;
  startPod(setup: PodSetup, options: CallOptions): Promise<void>;
  /** Ends all processes and powers the VM off. Resolves when the agent has agreed. */
  destroyPod(options: CallOptions): Promise<void>;
  ping(options: CallOptions): Promise<void>;
  /** Waits for the NIC to appear, configures it, brings it up, and reads it back where the session can. */
  setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic>;
  /** Takes the link down and forgets its addresses and routes, before the hypervisor takes the device. */
  deleteInterface(nic: { readonly mac: string; readonly expectedName: string }, options: CallOptions): Promise<void>;
  addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void>;
  removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void>;
  /** @throws NOT_SUPPORTED without features.readNetwork. */
  readNetwork(options: CallOptions): Promise<GuestNetwork>;
  /** Resolves when the program runs. @throws AGENT_EXEC_FAILED, where the agent tells; else it ends with 127. */
  exec(spec: ExecSpec, options: CallOptions): Promise<GuestProcess>;
  /** Whole files, at most 16 MiB. The file is replaced in one step; its directories are made in containers. @throws AGENT_REFUSED. */
  writeFile(path: string, content: Uint8Array, options: CallOptions, target?: FileTarget): Promise<void>;
  readFile(path: string, options: CallOptions, target?: Pick<FileTarget, 'container'>): Promise<Buffer>;
  /**
   * Makes a container: namespaces (mount, pid, uts, ipc; the network is the pod's), its root with what is mounted there.
   * Nothing runs in it yet, so files can be put there. All or nothing. Containers outlive sessions.
   * @throws AGENT_REFUSED, NOT_SUPPORTED without features.containers; so do all that follow about containers.
   */
  newContainer(setup: ContainerSetup, options: CallOptions): Promise<void>;
  /**
   * Starts the main process, with no input; its output is kept in the guest, the last CONTAINER_LOG_BYTES of it, so that it
   * runs on whoever listens. Again once it has exited: the log goes on. Resolves when the program runs.
   * @throws AGENT_EXEC_FAILED; AGENT_REFUSED it runs already.
   */
  startContainer(id: string, process: ContainerProcess, options: CallOptions): Promise<void>;
  /** To the main process, with its process group. @throws AGENT_REFUSED none runs. */
  signalContainer(id: string, signal: number, options: CallOptions): Promise<void>;
  /** Ends whatever runs in it and unmounts all. Idempotent: a container that is not there is no error. */
  removeContainer(id: string, options: CallOptions): Promise<void>;
  listContainers(options: CallOptions): Promise<readonly GuestContainer[]>;
  /** At most `maxBytes` (default 1 MiB) from `offset` on. Without new output it resolves at once, empty. */
  readContainerLog(
    id: string,
    range: { readonly offset: number; readonly maxBytes?: number },
    options: CallOptions,
  ): Promise<ContainerLog>;
  /** Calls `listener` when a main process ends, from now on; the returned function stops that. Listeners must not throw. */
  onContainerExit(listener: (exit: ContainerExit) => void): () => void;
  /** In the guest's own root. What is not a tmpfs and is there twice is one file system. @throws AGENT_REFUSED, NOT_SUPPORTED. */
  mountVolume(mount: GuestMount, options: CallOptions): Promise<void>;
  /** @throws AGENT_REFUSED it is in use, or was not mounted by mountVolume. */
  unmountVolume(path: string, options: CallOptions): Promise<void>;
  /** Puts 16 to 512 random bytes of the host's into the guest's random pool, and makes its generator use them at once. */
  reseed(entropy: Uint8Array, options: CallOptions): Promise<void>;
  /** The guest's real-time clock, milliseconds since 1970. */
  setClock(epochMs: number, options: CallOptions): Promise<void>;
  /** @throws NOT_SUPPORTED without features.stats. */
  readStats(options: CallOptions): Promise<GuestStats>;
  /** Brings CPUs and memory online that the hypervisor has added. */
  onlineCpuMemory(options: CallOptions): Promise<void>;
  /** Ends the conversation, not the guest. Idempotent. */
  close(): Promise<void>;
}
