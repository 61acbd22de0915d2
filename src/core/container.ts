import type { TerminalSize } from './agent.js';

/** Where the guest finds a file system. */
export type GuestFileSystem =
  /** One of VmSpec.disks, by its id. `fsType` as the guest's kernel names it: `ext4`, `squashfs`, `erofs`. */
  | { readonly kind: 'disk'; readonly id: string; readonly fsType: string }
  /** One of VmSpec.shares, by its tag. */
  | { readonly kind: 'share'; readonly tag: string }
  /** A directory that is there already in the guest's own root: a volume mounted before, for one. */
  | { readonly kind: 'directory'; readonly path: string }
  /** In the guest's memory; empty at first, gone with what it is mounted for. */
  | { readonly kind: 'tmpfs'; readonly sizeMib?: number };

/** A file system at a place: of the guest's own root, or of a container's. */
export interface GuestMount {
  readonly source: GuestFileSystem;
  /** Absolute. What of it is missing is made; symbolic links in it do not lead out of the root. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** What becomes of what a container writes to its root. */
export type ContainerLayer =
  /** Nothing can be written. */
  | { readonly kind: 'read-only' }
  /** It goes to the root's own file system, which must be writable. */
  | { readonly kind: 'direct' }
  /** An overlay in the guest's memory: what lies below is never changed, and all is gone with the container. */
  | { readonly kind: 'tmpfs'; readonly sizeMib?: number }
  /** An overlay on one of VmSpec.disks: it is still there when a container of the same id is made on it again. */
  | { readonly kind: 'disk'; readonly id: string; readonly fsType: string };

export interface ContainerSetup {
  /** `[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}`, unique in the guest; not `hyperstart`. */
  readonly id: string;
  readonly root: Exclude<GuestFileSystem, { kind: 'tmpfs' }>;
  readonly layer: ContainerLayer;
  /** In this order: a later one may lie below an earlier one. */
  readonly mounts: readonly GuestMount[];
  /** undefined: the guest's. */
  readonly hostname?: string;
  /** Of /proc/sys, by name with dots or slashes: `net.core.somaxconn`. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** Whether /etc/hosts, /etc/hostname and /etc/resolv.conf are the pod's, whatever the root has there. Default: true. */
  readonly podEtc?: boolean;
}

/** Of setrlimit(2). `name` without RLIMIT_, in lower case: `nofile`; null: no limit. */
export interface ResourceLimit {
  readonly name: (typeof RESOURCE_LIMITS)[number];
  readonly soft: number | null;
  readonly hard: number | null;
}

export const RESOURCE_LIMITS = [
  'as',
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
] as const;

/** A container's main process: the one whose end is the container's. Started with GuestSession.startContainer or exec. */
export interface ContainerProcess {
  readonly argv: readonly string[];
  /** Without PATH and HOME the usual ones are set. */
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  /** Name or number, of the container's own /etc/passwd and /etc/group; undefined: root. */
  readonly user?: string;
  readonly group?: string;
  readonly additionalGroups?: readonly string[];
  /** Each name once; default: the agent's own. */
  readonly limits?: readonly ResourceLimit[];
  readonly terminal: boolean;
  readonly size?: TerminalSize;
}

/** A container as the guest tells. */
export interface GuestContainer {
  readonly id: string;
  /** `created`: its main process has not been started, `exited`: it has ended (what else was started there may run on). */
  readonly state: 'created' | 'running' | 'exited';
  /** The main process in the guest's own numbers; 0 unless it runs. */
  readonly pid: number;
  /** 0 to 255, 128 + n by signal n; only once it has exited. */
  readonly exitCode?: number;
  readonly signal?: number;
}

/** A main process has ended, whoever started it. */
export interface ContainerExit {
  readonly container: string;
  readonly exitCode: number;
  readonly signal?: number;
}

/** A part of what a logged main process has written, stdout and stderr in the order of their coming. */
export interface ContainerLog {
  /** Of the first byte here, counted from the container's first output; beyond what was asked for where that is lost. */
  readonly offset: number;
  readonly content: Buffer;
  /** Of the byte after the last there is; read again from here to go on. */
  readonly end: number;
}

/** What the guest has in memory of a container's output at most. */
export const CONTAINER_LOG_BYTES = 1024 * 1024;

/** Counters since the start of what they count, as the guest tells; a reader makes rates of two readings. */
export interface GuestStats {
  readonly uptimeMs: number;
  readonly cpu: {
    readonly online: number;
    readonly userMs: number;
    readonly systemMs: number;
    readonly idleMs: number;
    readonly ioWaitMs: number;
    /** What the host's scheduler took. */
    readonly stealMs: number;
  };
  /** Over 1, 5 and 15 minutes. */
  readonly loadAverage: readonly [number, number, number];
  readonly memory: {
    readonly totalBytes: number;
    readonly freeBytes: number;
    readonly availableBytes: number;
    readonly buffersBytes: number;
    readonly cachedBytes: number;
  };
  /** Threads of the kernel included. */
  readonly processCount: number;
  readonly containers: readonly {
    readonly id: string;
    readonly cpuMs: number;
    readonly memoryBytes: number;
    readonly processCount: number;
  }[];
  /** Those that the agent started and that run. */
  readonly processes: readonly {
    /** undefined: in the guest's own root. */
    readonly container?: string;
    readonly id: string;
    readonly pid: number;
    readonly cpuMs: number;
    readonly memoryBytes: number;
  }[];
  /** Those with a size: disks, shares, the guest's own memory. */
  readonly fileSystems: readonly {
    /** undefined: in the guest's own root. */
    readonly container?: string;
    readonly path: string;
    readonly type: string;
    readonly source: string;
    readonly totalBytes: number;
    readonly freeBytes: number;
    /** To users other than root. */
    readonly availableBytes: number;
    readonly files: number;
    readonly filesFree: number;
  }[];
  readonly nics: readonly {
    readonly name: string;
    readonly mac: string;
    readonly receivedBytes: number;
    readonly receivedPackets: number;
    readonly receiveErrors: number;
    readonly receiveDropped: number;
    readonly sentBytes: number;
    readonly sentPackets: number;
    readonly sendErrors: number;
    readonly sendDropped: number;
  }[];
}
