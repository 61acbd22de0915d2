// Made by guest/protocol/generate.mjs from protocol.json; change that, not this.

export const PROTOCOL_VERSION = 4244;
export const EXTENSION_VERSION = 1;

/** Names of the virtio-serial ports. */
export const CHANNEL = {
  control: 'sh.hyper.channel.0',
  streams: 'sh.hyper.channel.1',
} as const;

export const COMMAND = {
  GETVERSION: 0,
  STARTPOD: 1,
  DESTROYPOD: 4,
  EXECCMD: 6,
  READY: 8,
  ACK: 9,
  ERROR: 10,
  WINSIZE: 11,
  PING: 12,
  NEXT: 14,
  WRITEFILE: 15,
  READFILE: 16,
  NEWCONTAINER: 17,
  KILLCONTAINER: 18,
  ONLINECPUMEM: 19,
  SETUPINTERFACE: 20,
  SETUPROUTE: 21,
  REMOVECONTAINER: 22,
  PROCESSASYNCEVENT: 23,
  SIGNALPROCESS: 24,
  DELETEINTERFACE: 25,
  CREDIT: 64,
  GETNETWORK: 65,
  DELETEROUTE: 66,
  LISTCONTAINERS: 67,
  READLOG: 68,
  MOUNT: 69,
  UNMOUNT: 70,
  RESEED: 71,
  SETCLOCK: 72,
  STATS: 73,
} as const;

export type CommandName = keyof typeof COMMAND;

export const COMMAND_NAMES: ReadonlyMap<number, CommandName> = new Map(
  Object.entries(COMMAND).map(([name, code]) => [code, name as CommandName]),
);

/** `code` of an ERROR in the extension. */
export const AGENT_ERROR_CODES = {
  INVALID: 'the request is malformed',
  UNKNOWN_COMMAND: 'no such command',
  NOT_FOUND: 'no such process, NIC or file',
  TIMEOUT: 'the NIC did not appear in time',
  KERNEL: 'a system call or netlink request failed',
  EXEC: 'the program could not be started',
  LIMIT: 'too large, or too many',
} as const;

export type AgentErrorCode = keyof typeof AGENT_ERROR_CODES;

export const LIMIT = {
  CONTROL_HEADER_BYTES: 8,
  STREAM_HEADER_BYTES: 12,
  CONTROL_MESSAGE_MAX_BYTES: 16842752,
  FILE_MAX_BYTES: 16777216,
  JSON_MAX_BYTES: 4194304,
  STREAM_PAYLOAD_MAX_BYTES: 32768,
  INITIAL_CREDIT_BYTES: 262144,
  BASE_CHUNK_BYTES: 512,
  NONCE_CHARACTERS: 16,
  PARTIAL_MESSAGE_TIMEOUT_MS: 10000,
  NIC_WAIT_DEFAULT_MS: 10000,
  PROCESSES_MAX: 1024,
  CONTAINERS_MAX: 64,
  MOUNTS_MAX: 64,
  CONTAINER_LOG_BYTES: 1048576,
  ENTROPY_MIN_BYTES: 16,
  ENTROPY_MAX_BYTES: 512,
  DEVICE_WAIT_MS: 10000,
} as const;

export interface HelloMessage {
  readonly hyperplug: number;
  readonly nonce: string;
  readonly window?: number;
}

export interface HelloAnswerMessage {
  readonly hyperplug: number;
  readonly agent: string;
  readonly nonce: string;
}

export interface AgentErrorMessage {
  readonly code: AgentErrorCode;
  readonly reason: string;
  readonly errno?: number;
  readonly field?: string;
}

export interface AddressMessage {
  readonly ipAddress: string;
  readonly prefix?: number;
  readonly netMask?: string;
}

export interface InterfaceMessage {
  readonly mac?: string;
  readonly device?: string;
  readonly newDeviceName?: string;
  readonly mtu?: number;
  readonly ipAddresses?: readonly AddressMessage[];
  readonly removeAddresses?: readonly AddressMessage[];
  readonly timeoutMs?: number;
}

export interface RouteMessage {
  readonly dest: string;
  readonly gateway?: string;
  readonly mac?: string;
  readonly device?: string;
  readonly metric?: number;
}

export interface RoutesMessage {
  readonly routes: readonly RouteMessage[];
}

export interface StartPodMessage {
  readonly hostname?: string;
  readonly dns?: readonly string[];
  readonly dnsOptions?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly shareDir?: string;
  readonly interfaces?: readonly InterfaceMessage[];
  readonly routes?: readonly RouteMessage[];
  readonly containers?: readonly ContainerMessage[];
  readonly portmappingWhiteLists?: unknown;
  readonly machineId?: string;
}

export interface EnvironmentVariableMessage {
  readonly env: string;
  readonly value: string;
}

export interface ResourceLimitMessage {
  readonly type: string;
  readonly hard: number;
  readonly soft: number;
}

export interface ProcessMessage {
  readonly id: string;
  readonly terminal?: boolean;
  readonly stdio: number;
  readonly stderr?: number;
  readonly args: readonly string[];
  readonly envs?: readonly EnvironmentVariableMessage[];
  readonly workdir?: string;
  readonly user?: string;
  readonly group?: string;
  readonly additionalGroups?: readonly string[];
  readonly rlimits?: readonly ResourceLimitMessage[];
  readonly row?: number;
  readonly column?: number;
  readonly main?: boolean;
  readonly log?: boolean;
}

export interface ExecMessage {
  readonly container: string;
  readonly process: ProcessMessage;
}

export interface ExecAnswerMessage {
  readonly pid: number;
}

export interface WindowSizeMessage {
  readonly container: string;
  readonly process: string;
  readonly row: number;
  readonly column: number;
}

export interface SignalProcessMessage {
  readonly container: string;
  readonly process: string;
  readonly signal: number;
}

export interface ProcessEventMessage {
  readonly container: string;
  readonly process: string;
  readonly event: string;
  readonly status: number;
  readonly signal?: number;
  readonly main?: boolean;
}

export interface FileMessage {
  readonly container: string;
  readonly file: string;
  readonly mode?: number;
  readonly user?: string;
  readonly group?: string;
}

export interface FileSystemMessage {
  readonly kind: string;
  readonly disk?: string;
  readonly fstype?: string;
  readonly tag?: string;
  readonly path?: string;
  readonly sizeMib?: number;
}

export interface MountMessage {
  readonly source: FileSystemMessage;
  readonly path: string;
  readonly readOnly?: boolean;
}

export interface UnmountMessage {
  readonly path: string;
}

export interface FsMapMessage {
  readonly source: string;
  readonly path: string;
  readonly readOnly?: boolean;
  readonly dockerVolume?: boolean;
}

export interface VolumeMessage {
  readonly device?: string;
  readonly addr?: string;
  readonly mount: string;
  readonly fstype?: string;
  readonly readOnly?: boolean;
  readonly dockerVolume?: boolean;
}

export interface ContainerMessage {
  readonly id: string;
  readonly rootfs?: string;
  readonly fstype?: string;
  readonly image?: string;
  readonly addr?: string;
  readonly volumes?: readonly VolumeMessage[];
  readonly fsmap?: readonly FsMapMessage[];
  readonly sysctl?: unknown;
  readonly process?: ProcessMessage;
  readonly restartPolicy?: string;
  readonly initialize?: boolean;
  readonly readOnly?: boolean;
  readonly root?: FileSystemMessage;
  readonly layer?: FileSystemMessage;
  readonly mounts?: readonly MountMessage[];
  readonly hostname?: string;
  readonly podEtc?: boolean;
}

export interface KillContainerMessage {
  readonly container: string;
  readonly signal: number;
}

export interface RemoveContainerMessage {
  readonly container: string;
}

export interface ContainerEntryMessage {
  readonly id: string;
  readonly state: string;
  readonly pid: number;
  readonly status?: number;
  readonly signal?: number;
}

export interface ContainersMessage {
  readonly containers: readonly ContainerEntryMessage[];
}

export interface ReadLogMessage {
  readonly container: string;
  readonly offset: number;
  readonly max?: number;
}

export interface ClockMessage {
  readonly epochMs: number;
}

export interface LinkAddressMessage {
  readonly address: string;
  readonly prefix: number;
  readonly family: number;
}

export interface LinkMessage {
  readonly name: string;
  readonly index: number;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly addresses: readonly LinkAddressMessage[];
}

export interface RouteEntryMessage {
  readonly dest: string;
  readonly gateway?: string;
  readonly device?: string;
  readonly metric: number;
}

export interface NetworkMessage {
  readonly links: readonly LinkMessage[];
  readonly routes: readonly RouteEntryMessage[];
}
