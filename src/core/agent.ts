import type { Duplex, Readable, Writable } from 'node:stream';
import type { CallOptions } from './calls.js';
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
  readonly terminal: boolean;
  /** Initial size of the terminal. */
  readonly size?: TerminalSize;
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
  /** Whole files, at most 16 MiB. The file is replaced in one step. @throws AGENT_REFUSED. */
  writeFile(path: string, content: Uint8Array, options: CallOptions): Promise<void>;
  readFile(path: string, options: CallOptions): Promise<Buffer>;
  /** Brings CPUs and memory online that the hypervisor has added. */
  onlineCpuMemory(options: CallOptions): Promise<void>;
  /** Ends the conversation, not the guest. Idempotent. */
  close(): Promise<void>;
}
