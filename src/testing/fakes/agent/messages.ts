import { z } from 'zod';

const id = z.int().positive();
const bytes = z.int().positive();
const address = z.strictObject({ address: z.string(), prefixLength: z.int() });
const link = z.strictObject({
  name: z.string(),
  index: z.int(),
  mac: z.string(),
  mtu: z.int(),
  up: z.boolean(),
  addresses: z.array(address),
});
const route = z.strictObject({
  destination: z.string(),
  gateway: z.string().optional(),
  mac: z.string().optional(),
  device: z.string().optional(),
  metric: z.int().optional(),
});
export const linkSchema = link;
export const networkSchema = z.strictObject({ links: z.array(link), routes: z.array(route) });

export const containersSchema = z.array(
  z.strictObject({
    id: z.string(),
    state: z.enum(['created', 'running', 'exited']),
    pid: z.int().nonnegative(),
    exitCode: z.int().min(0).max(255).optional(),
    signal: z.int().positive().optional(),
  }),
);
export const logSchema = z.strictObject({ offset: z.int().nonnegative(), end: z.int().nonnegative() });

/** What a guest may say; it is hostile, so nothing else is let through. */
export const guestMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('hello'), version: z.int() }),
  z.strictObject({ type: z.literal('ok'), id, result: z.unknown().optional() }),
  z.strictObject({
    type: z.literal('error'),
    id,
    code: z.enum(['REFUSED', 'EXEC']),
    reason: z.string().max(4096),
    errno: z.int().optional(),
  }),
  z.strictObject({ type: z.literal('out'), process: id, stream: z.union([z.literal(1), z.literal(2)]) }),
  z.strictObject({ type: z.literal('out-end'), process: id, stream: z.union([z.literal(1), z.literal(2)]) }),
  z.strictObject({
    type: z.literal('exit'),
    process: id,
    exitCode: z.int().min(0).max(255),
    signal: z.int().positive().optional(),
  }),
  z.strictObject({
    type: z.literal('container-exit'),
    container: z.string().max(128),
    exitCode: z.int().min(0).max(255),
    signal: z.int().positive().optional(),
  }),
  z.strictObject({ type: z.literal('room'), process: id, bytes }),
]);
export type GuestMessage = z.infer<typeof guestMessage>;

/** What a host says; the FakeGuest trusts it. */
export type HostMessage =
  | { readonly type: 'call'; readonly id: number; readonly call: string; readonly args: unknown }
  | { readonly type: 'in'; readonly process: number }
  | { readonly type: 'in-end'; readonly process: number }
  | { readonly type: 'room'; readonly process: number; readonly stream: 1 | 2; readonly bytes: number };
