import { z } from 'zod';
import type { GuestProcess } from '../../core/agent.js';
import { endWithClient } from '../end-process.js';
import { type Operation, operation } from '../operation.js';
import { podParams } from '../schemas/common.js';
import { execExit, execRequest } from '../schemas/pod.js';

const MAX_INPUT_BYTES = 512 * 1024;

const body = z
  .object({
    ...execRequest.shape,
    input: z.string().max(MAX_INPUT_BYTES).optional().describe('standard input, whole; none: it is at its end'),
    inputEncoding: z.enum(['utf8', 'base64']).default('utf8'),
    outputEncoding: z.enum(['utf8', 'base64']).default('utf8'),
    onDisconnect: z.enum(['kill', 'leave']).default('kill').describe('what becomes of it when its client goes away'),
  })
  .strict();

const line = z.union([
  z.object({ stdout: z.string() }),
  z.object({ stderr: z.string() }),
  z.object({ exit: execExit }),
]);

/** The way for any HTTP client, curl too; programs that talk both ways upgrade the connection (see exec-stream.ts). */
export const execOperations: readonly Operation[] = [
  operation({
    id: 'exec',
    method: 'POST',
    path: '/v1/pods/{id}/exec',
    tag: 'commands',
    summary: 'Run a command in a pod',
    description:
      'Answers lines of JSON as output comes, the last one with its exit. With `Connection: Upgrade` and `Upgrade: hyperplug-exec/1` the connection carries frames both ways instead (docs/daemon.md).',
    params: podParams,
    body,
    answer: { kind: 'lines', schema: line },
    stream: true,
    handle: async (context, { params, body }) => {
      const { input, inputEncoding, outputEncoding, onDisconnect, ...request } = body;
      const { pod } = await context.keeper.get(params.id, context.call);
      const process = await pod.spawn(request, context.call);
      endWithClient(process, context, onDisconnect);
      process.stdin.on('error', () => {});
      process.stdin.end(Buffer.from(input ?? '', inputEncoding));
      return outputOf(process, outputEncoding);
    },
  }),
];

/** Both streams as they come; each is read on only when its last line was taken. */
async function* outputOf(process: GuestProcess, encoding: 'utf8' | 'base64'): AsyncGenerator<z.output<typeof line>> {
  const sources = (['stdout', 'stderr'] as const).map((name) => {
    return { name, chunks: process[name].setEncoding(encoding)[Symbol.asyncIterator]() };
  });
  type Source = (typeof sources)[number];
  const next = async (source: Source) => ({ source, result: await source.chunks.next() });
  const pending = new Map(sources.map((source) => [source, next(source)]));
  while (pending.size > 0) {
    const { source, result } = await Promise.race(pending.values());
    if (result.done) {
      pending.delete(source);
      continue;
    }
    yield source.name === 'stdout' ? { stdout: result.value as string } : { stderr: result.value as string };
    pending.set(source, next(source));
  }
  yield { exit: await process.exited };
}
