import { z } from 'zod';
import type { ErrorCode } from '../../core/error-codes.js';
import { HyperplugError } from '../../core/errors.js';
import { EXPOSITION_TYPE } from '../exposition.js';
import { type Operation, operation, WithStatus } from '../operation.js';
import { flag, nothing, time } from '../schemas/common.js';
import { gcReport } from '../schemas/gc.js';
import { diagnosis } from '../schemas/pod.js';

const tag = 'system';

const versionBody = z
  .object({
    version: z.string(),
    api: z.literal('v1'),
    node: z.string(),
    pid: z.int(),
    startedAt: time,
    state: z.enum(['starting', 'ready', 'stopping']),
  })
  .meta({ id: 'Version' });

const healthBody = z
  .object({ status: z.enum(['ok', 'starting', 'stopping', 'failing']), troubles: z.array(z.string()) })
  .meta({ id: 'Health' });

const sessionLine = z.object({ session: z.string().describe('for the header `hyperplug-session`') });

export const systemOperations: readonly Operation[] = [
  operation({
    id: 'version',
    method: 'GET',
    path: '/v1/version',
    tag,
    summary: 'What answers here',
    answer: { kind: 'json', schema: versionBody },
    always: true,
    handle: async ({ version, startedAt, state }) => ({
      version,
      api: 'v1',
      node: process.version,
      pid: process.pid,
      startedAt,
      state: state(),
    }),
  }),
  operation({
    id: 'diagnose',
    method: 'GET',
    path: '/v1/diagnosis',
    tag,
    summary: 'What this machine can do, and what to mend',
    answer: { kind: 'json', schema: z.array(diagnosis) },
    handle: ({ hyperplug, call }) => hyperplug.diagnose(call),
  }),
  operation({
    id: 'gc',
    method: 'POST',
    path: '/v1/gc',
    tag,
    summary: 'Finish or undo what dead processes left, and remove what belongs to nothing',
    query: z.strictObject({ dryRun: flag.optional().describe('tell what would be done, and change nothing') }),
    answer: { kind: 'json', schema: gcReport },
    handle: ({ hyperplug, call }, { query }) => hyperplug.gc({ ...call, dryRun: query.dryRun ?? false }),
  }),
  operation({
    id: 'prepare',
    method: 'POST',
    path: '/v1/prepare',
    tag,
    summary: 'Build the guest image if need be, so that the first pod need not wait',
    answer: { kind: 'json', schema: nothing },
    handle: async ({ hyperplug, call }) => {
      await hyperplug.prepare(call);
      return null;
    },
  }),
  operation({
    id: 'openSession',
    method: 'POST',
    path: '/v1/sessions',
    tag,
    summary: 'A session: lives as long as this answer is read',
    description: 'Pods that are not kept are removed when the session of their client ends, however it ends.',
    answer: { kind: 'lines', schema: sessionLine },
    stream: true,
    handle: async ({ sessions, call }) => {
      const session = sessions.open();
      const gone = new Promise<void>((resolve) =>
        call.signal.addEventListener('abort', () => resolve(), { once: true }),
      );
      void gone.then(() => sessions.end(session));
      return (async function* () {
        yield { session: session.id };
        await gone;
      })();
    },
  }),
  operation({
    id: 'endSession',
    method: 'DELETE',
    path: '/v1/sessions/{session}',
    tag,
    summary: 'End a session; answers when its pods are gone',
    params: z.strictObject({ session: z.uuid() }),
    answer: { kind: 'json', schema: z.object({ ended: z.literal(true) }) },
    always: true,
    handle: async ({ sessions }, { params }) => {
      const errors = await sessions.end(sessions.get(params.session));
      if (errors.length > 0) {
        throw new HyperplugError('POD_CLEANUP_FAILED', 'not all pods of the session could be removed', {
          cause: errors[0],
          errors,
        });
      }
      return { ended: true };
    },
  }),
  operation({
    id: 'cancelRequest',
    method: 'POST',
    path: '/v1/requests/{request}/cancel',
    tag,
    summary: 'End what a request has begun; that one then answers with this reason, when all is undone',
    description: 'A client that just goes away ends it as well, but does not hear what came of it.',
    params: z.strictObject({ request: z.string().min(1).max(64) }),
    body: z.strictObject({ code: z.enum(['ABORTED', 'TIMEOUT']), message: z.string().max(4096) }),
    answer: { kind: 'json', schema: z.object({ found: z.boolean() }) },
    always: true,
    handle: async ({ requests }, { params, body }) => ({
      found: requests.cancel(params.request, body.code satisfies ErrorCode, body.message),
    }),
  }),
  operation({
    id: 'live',
    method: 'GET',
    path: '/healthz/live',
    tag,
    summary: 'Whether the daemon answers at all',
    answer: { kind: 'json', schema: healthBody },
    always: true,
    handle: async () => ({ status: 'ok', troubles: [] }),
  }),
  operation({
    id: 'ready',
    method: 'GET',
    path: '/healthz/ready',
    tag,
    summary: 'Whether it takes requests; 503 while it starts, ends, or something is wrong with state or networks',
    answer: { kind: 'json', schema: healthBody },
    always: true,
    handle: async (context) => {
      const health = await healthOf(context);
      return health.status === 'ok' ? health : new WithStatus(503, health);
    },
  }),
  operation({
    id: 'metrics',
    method: 'GET',
    path: '/metrics',
    tag,
    summary: 'Counters, in the text format of Prometheus',
    answer: { kind: 'bytes', contentType: EXPOSITION_TYPE },
    always: true,
    handle: async ({
      metrics,
      hyperplug,
      networks: look,
      call,
      sessions,
      requests,
      version,
      startedAt,
      connections,
    }) => {
      // What cannot be told now is missing, and the rest is told.
      const [pods, networks, pool] = await Promise.all([
        hyperplug.listPods(call).catch(() => []),
        look().catch(() => []),
        hyperplug.pool.status(call).catch(() => undefined),
      ]);
      const facts = { pods, networks, pool, version, startedAt, sessions: sessions.count, requests: requests.count };
      return Buffer.from(metrics.text({ ...facts, connections: connections() }));
    },
  }),
];

interface Health {
  readonly status: 'ok' | 'starting' | 'stopping' | 'failing';
  readonly troubles: readonly string[];
}

/** `failing`: the state store or a network is not as it should be. */
async function healthOf({ hyperplug, state, troubles, call }: Parameters<Operation['handle']>[0]): Promise<Health> {
  if (state() !== 'ready') return { status: state() as 'starting' | 'stopping', troubles: troubles() };
  try {
    await hyperplug.listPods(call);
  } catch (error) {
    return { status: 'failing', troubles: [error instanceof Error ? error.message : String(error)] };
  }
  return troubles().length > 0 ? { status: 'failing', troubles: troubles() } : { status: 'ok', troubles: [] };
}
