import { z } from 'zod';
import type { ContainerProcess } from '../container.js';
import type { ProcessIdentity, VmExit, VmRecord } from '../hypervisor.js';
import type { JsonValue } from '../json.js';
import type { AddressLease, AllowList, HostNicRecord, InterfaceAddress, PortMapping } from '../network.js';
import type { StateKey } from '../state-store.js';
import type { ConsoleLog } from '../vm/console-tail.js';
import type { RestartPolicy } from './spec-parts/common.js';
import { POD_STATES, type PodOrigin, type PodState } from './types.js';

/** A NIC as the state store knows it: all that undo needs, written before the thing is made. */
export interface NicRecord {
  readonly id: string;
  readonly kind: 'network' | 'loopback';
  /** Other than `ready`: a manager is at it, or died at it. A NIC half made or half removed is to be removed. */
  readonly state: 'adding' | 'ready' | 'changing' | 'removing';
  readonly mac: string;
  /** null: the kernel's choice. */
  readonly name: string | null;
  /** As the guest last called it; null: not seen yet. */
  readonly guestName: string | null;
  /** 0 until it is known. */
  readonly mtu: number;
  /** Of its network, when it was added: what it may have at most. Missing: not known. */
  readonly networkMtu?: number;
  /** null for the loopback. Without addresses: whatever this NIC holds. */
  readonly lease: AddressLease | null;
  /** Beside those of the lease: from no network of ours. */
  readonly otherAddresses: readonly InterfaceAddress[];
  readonly ports: readonly PortMapping[];
  /** Who may reach it from outside its network; missing: no restriction. */
  readonly allow?: AllowList;
  /** null for the loopback. Its `data` is null until the host side has been made. */
  readonly host: HostNicRecord | null;
}

/** A route that we set, by the NIC's id. */
export interface RouteRecord {
  readonly destination: string;
  readonly gateway?: string;
  readonly nic?: string;
  readonly metric?: number;
}

/** A container as the state store knows it. */
export interface ContainerRecord {
  readonly id: string;
  readonly name: string;
  readonly image: string | null;
  readonly state: 'created' | 'running' | 'exited';
  readonly exitCode: number | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** Restarts by its policy since the pod was started. */
  readonly restarts: number;
  readonly restartPolicy: RestartPolicy;
  /** Number of the signal that it is sent first at a stop. */
  readonly stopSignal: number;
  /** Of its image and its specification: what other commands in it have, too. */
  readonly env: Readonly<Record<string, string>>;
  /** What runs in it; null: nothing by itself. */
  readonly process: ContainerProcess | null;
}

export interface PodRecord {
  readonly version: 2;
  readonly id: string;
  /** As last written: look() tells what it is. In a passing state a manager is at it, or died at it. */
  readonly state: PodState;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  /** How its VM ended, last. */
  readonly exit: VmExit | null;
  /** Why it is `failed`, or why it could not be started. */
  readonly failure: string | null;
  /** Who is at it, in a passing state; who created or started it, else. */
  readonly manager: ProcessIdentity;
  readonly hypervisor: string;
  readonly network: string;
  readonly hostname: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly keep: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** Complete, as create() takes it; null: an earlier version did not write it down. */
  readonly spec: JsonValue;
  readonly runDir: string;
  readonly dataDir: string;
  readonly consoleLogPath: string;
  /** Bytes of the console's log that boots before this one wrote. */
  readonly consoleStart?: number;
  /** What it holds now. Empty when it does not run and nothing of it was left. */
  readonly nics: readonly NicRecord[];
  readonly routes: readonly RouteRecord[];
  /** null while no VM of it can be there. */
  readonly vm: VmRecord | null;
  readonly containers: readonly ContainerRecord[];
  /** Restarts by its policy since somebody started it. */
  readonly restarts: number;
  /** How its VM came to be, last; missing: it has not run, or an earlier version started it. */
  readonly origin?: PodOrigin;
  /** HostServices.session of who started it last. */
  readonly session?: string | null;
  /** It was told to stop when it had ended already: whoever would restart it by its policy leaves it. */
  readonly stopped?: boolean;
}

const PODS = 'pods';

export const podKey = (id: string): StateKey => [PODS, id];
export const podsPrefix: StateKey = [PODS];

const identity = z.object({ pid: z.number(), startTime: z.number(), bootId: z.string() });
const text = z.string();
/** Strict enough that a record of another make is not mistaken for ours; what plugins wrote is theirs to check. */
const common = z.object({
  id: text,
  createdAt: text,
  manager: identity,
  hypervisor: text,
  network: text,
  cpus: z.number(),
  memoryMib: z.number(),
  keep: z.boolean(),
  labels: z.record(text, text),
  runDir: text.startsWith('/'),
  dataDir: text.startsWith('/'),
  consoleLogPath: text.startsWith('/'),
  nics: z.array(z.looseObject({ id: text, mac: text, kind: text, state: text, ports: z.array(z.unknown()) })),
  routes: z.array(z.looseObject({ destination: text })),
  vm: z.looseObject({ version: z.literal(1), process: identity }).nullable(),
});

const version1 = common.extend({ version: z.literal(1), state: z.enum(['creating', 'running', 'removing']) });

const version2 = common.extend({
  version: z.literal(2),
  state: z.enum(POD_STATES),
  startedAt: text.nullable(),
  finishedAt: text.nullable(),
  exit: z.looseObject({ reason: text }).nullable(),
  failure: text.nullable(),
  hostname: text,
  spec: z.unknown(),
  containers: z.array(z.looseObject({ id: text, name: text, state: z.enum(['created', 'running', 'exited']) })),
  restarts: z.number(),
});

/** undefined: not a record this version can read; it is to be kept, and what it may own left alone. */
export function readPodRecord(value: JsonValue): PodRecord | undefined {
  if (version2.safeParse(value).success) return value as unknown as PodRecord;
  const old = version1.safeParse(value);
  return old.success ? fromVersion1(value as unknown as PodRecordV1) : undefined;
}

export type PodRecordV1 = Omit<
  PodRecord,
  | 'version'
  | 'state'
  | 'startedAt'
  | 'finishedAt'
  | 'exit'
  | 'failure'
  | 'hostname'
  | 'spec'
  | 'containers'
  | 'restarts'
> & { readonly version: 1; readonly state: 'creating' | 'running' | 'removing' };

/** Written by a version whose pods began and ended with their VM. It is rewritten with its next change. */
function fromVersion1(old: PodRecordV1): PodRecord {
  return {
    ...old,
    version: 2,
    startedAt: old.state === 'running' ? old.createdAt : null,
    finishedAt: null,
    exit: null,
    failure: null,
    hostname: old.id,
    spec: null,
    containers: [],
    restarts: 0,
  };
}

export const consoleOf = ({ consoleLogPath, consoleStart = 0 }: PodRecord): ConsoleLog => {
  return { path: consoleLogPath, start: consoleStart };
};

export const policyOf = ({ spec }: PodRecord): RestartPolicy | undefined =>
  (spec as { restartPolicy?: RestartPolicy } | null)?.restartPolicy;

export const podRecordJson = (record: PodRecord): JsonValue => record as unknown as JsonValue;
