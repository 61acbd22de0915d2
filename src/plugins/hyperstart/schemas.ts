import { z } from 'zod';
import type { GuestStats } from '../../core/container.js';
import { HyperplugError } from '../../core/errors.js';
import { CONTAINER } from './process.js';
import { LIMIT } from './protocol.gen.js';

/** What the guest says, for people: one line, printable, bounded. */
export function guestText(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ').trim();
  return line.length > 1000 ? `${line.slice(0, 999)}…` : line;
}

const address = z.object({ address: z.string().max(64), prefix: z.int().min(0).max(128) });

const link = z.object({
  name: z.string().min(1).max(15),
  index: z.int().min(1),
  mac: z.string().max(64),
  mtu: z.int().min(0),
  up: z.boolean(),
  addresses: z.array(address).max(1024),
});

const route = z.object({
  dest: z.string().max(64),
  gateway: z.string().max(64).optional(),
  device: z.string().max(15).optional(),
  metric: z.int().min(0).optional(),
});

const network = z.object({ links: z.array(link).max(4096), routes: z.array(route).max(65_536) });

const version = z.object({ hyperplug: z.int(), agent: z.string().max(200), nonce: z.string() });

const errorBody = z.object({
  code: z.string().max(64),
  reason: z.string().max(65_536),
  errno: z.int().optional(),
  field: z.string().max(1024).optional(),
});

const processEvent = z.object({
  container: z.string(),
  process: z.string().max(1024),
  event: z.string().max(64),
  status: z.int().min(0).max(255),
  signal: z.int().min(1).max(64).optional(),
  main: z.boolean().optional(),
});

const containers = z.object({
  containers: z
    .array(
      z.object({
        id: z.string().max(128),
        state: z.enum(['created', 'running', 'exited']),
        pid: z.int().nonnegative(),
        status: z.int().min(0).max(255).optional(),
        signal: z.int().min(1).max(64).optional(),
      }),
    )
    .max(LIMIT.CONTAINERS_MAX),
});

const counter = z.int().nonnegative();
const name = z.string().max(4096).transform(guestText);

const stats = z.object({
  uptimeMs: counter,
  cpu: z.object({
    online: counter,
    userMs: counter,
    systemMs: counter,
    idleMs: counter,
    ioWaitMs: counter,
    stealMs: counter,
  }),
  loadAverage: z.tuple([z.number().nonnegative(), z.number().nonnegative(), z.number().nonnegative()]),
  memory: z.object({
    totalBytes: counter,
    freeBytes: counter,
    availableBytes: counter,
    buffersBytes: counter,
    cachedBytes: counter,
  }),
  processCount: counter,
  containers: z
    .array(z.object({ id: name, cpuMs: counter, memoryBytes: counter, processCount: counter }))
    .max(LIMIT.CONTAINERS_MAX),
  processes: z
    .array(z.object({ container: name, id: name, pid: counter, cpuMs: counter, memoryBytes: counter }))
    .max(LIMIT.PROCESSES_MAX),
  fileSystems: z
    .array(
      z.object({
        container: name,
        path: name,
        type: name,
        source: name,
        totalBytes: counter,
        freeBytes: counter,
        availableBytes: counter,
        files: counter,
        filesFree: counter,
      }),
    )
    .max(1024),
  nics: z
    .array(
      z.object({
        name,
        mac: name,
        receivedBytes: counter,
        receivedPackets: counter,
        receiveErrors: counter,
        receiveDropped: counter,
        sentBytes: counter,
        sentPackets: counter,
        sendErrors: counter,
        sendDropped: counter,
      }),
    )
    .max(4096),
});

export type LinkBody = z.output<typeof link>;
export type NetworkBody = z.output<typeof network>;

function parse<T extends z.ZodType>(schema: T, body: Buffer, what: string): z.output<T> {
  const wrong = (why: string) =>
    new HyperplugError('AGENT_PROTOCOL', `${what}: what the agent sent is not as its protocol says: ${why}`);
  if (body.length > LIMIT.JSON_MAX_BYTES) throw wrong(`${body.length} bytes of JSON, at most ${LIMIT.JSON_MAX_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw wrong('not JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw wrong(guestText(`${issue?.path.join('.') || 'value'}: ${issue?.message ?? 'wrong'}`));
}

export const parseLink = (body: Buffer, what: string) => parse(link, body, what);
export const parseNetwork = (body: Buffer, what: string) => parse(network, body, what);
export const parseVersion = (body: Buffer, what: string) => parse(version, body, what);
export const parseErrorBody = (body: Buffer, what: string) => parse(errorBody, body, what);
export const parseContainers = (body: Buffer, what: string) => parse(containers, body, what);
export const parseProcessEvent = (body: Buffer, what: string) => parse(processEvent, body, what);

/** Those of the guest's own root have no container. */
export function parseStats(body: Buffer, what: string): GuestStats {
  const read = parse(stats, body, what);
  const own = <T extends { container: string }>({ container, ...rest }: T) =>
    container === CONTAINER ? rest : { container, ...rest };
  return { ...read, processes: read.processes.map(own), fileSystems: read.fileSystems.map(own) };
}
