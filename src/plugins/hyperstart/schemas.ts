import { z } from 'zod';
import { HyperplugError } from '../../core/errors.js';
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
export const parseProcessEvent = (body: Buffer, what: string) => parse(processEvent, body, what);
