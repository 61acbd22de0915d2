import { z } from 'zod';
import type { ProcessIdentity, VmRecord } from '../hypervisor.js';
import type { JsonValue } from '../json.js';
import type { AddressLease, HostNicRecord, InterfaceAddress, PortMapping } from '../network.js';
import type { StateKey } from '../state-store.js';

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
  /** null for the loopback. Without addresses: whatever this NIC holds. */
  readonly lease: AddressLease | null;
  /** Beside those of the lease: from no network of ours. */
  readonly otherAddresses: readonly InterfaceAddress[];
  readonly ports: readonly PortMapping[];
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

export interface PodRecord {
  readonly version: 1;
  readonly id: string;
  readonly state: 'creating' | 'running' | 'removing';
  readonly createdAt: string;
  /** Who creates or holds it; for a kept pod, who created it. */
  readonly manager: ProcessIdentity;
  readonly hypervisor: string;
  readonly network: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly keep: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly runDir: string;
  readonly dataDir: string;
  readonly consoleLogPath: string;
  readonly nics: readonly NicRecord[];
  readonly routes: readonly RouteRecord[];
  /** null until the VM runs. */
  readonly vm: VmRecord | null;
}

const PODS = 'pods';

export const podKey = (id: string): StateKey => [PODS, id];
export const podsPrefix: StateKey = [PODS];

const identity = z.object({ pid: z.number(), startTime: z.number(), bootId: z.string() });
/** Strict enough that a record of another make is not mistaken for ours; what plugins wrote is theirs to check. */
const schema = z.object({
  version: z.literal(1),
  id: z.string(),
  state: z.enum(['creating', 'running', 'removing']),
  createdAt: z.string(),
  manager: identity,
  hypervisor: z.string(),
  network: z.string(),
  cpus: z.number(),
  memoryMib: z.number(),
  keep: z.boolean(),
  labels: z.record(z.string(), z.string()),
  runDir: z.string().startsWith('/'),
  dataDir: z.string().startsWith('/'),
  consoleLogPath: z.string().startsWith('/'),
  nics: z.array(
    z.looseObject({
      id: z.string(),
      mac: z.string(),
      kind: z.string(),
      state: z.string(),
      ports: z.array(z.unknown()),
    }),
  ),
  routes: z.array(z.looseObject({ destination: z.string() })),
  vm: z.looseObject({ version: z.literal(1), process: identity }).nullable(),
});

/** undefined: not a record this version can read; it is to be kept, and what it may own left alone. */
export function readPodRecord(value: JsonValue): PodRecord | undefined {
  return schema.safeParse(value).success ? (value as unknown as PodRecord) : undefined;
}

export const podRecordJson = (record: PodRecord): JsonValue => record as unknown as JsonValue;
