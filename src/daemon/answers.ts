import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { errorToWire } from '../client/wire/errors.js';
import type { Answer } from './operation.js';

/** An error that comes within this time still has a status of its own. */
const EARLY_MS = 100;

/** Sends what comes, at the pace at which the client takes it. Resolves when all is sent or the client is gone. */
export async function sendStream(
  response: ServerResponse,
  answer: Exclude<Answer, { kind: 'json' }>,
  status: number,
  source: AsyncIterable<unknown>,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  let next = iterator.next();
  // Its failure is the request's as long as nothing was sent: thrown to the caller.
  await Promise.race([next, delay(EARLY_MS, undefined, { ref: false })]);
  const lines = answer.kind === 'lines';
  response.writeHead(status, {
    'content-type': lines ? 'application/x-ndjson' : answer.contentType,
    'cache-control': 'no-store',
    ...(!lines && { trailer: 'hyperplug-error' }),
  });
  response.flushHeaders();
  let ended = false;
  try {
    for (let result = await next; !result.done && !response.destroyed; result = await next) {
      const { value } = result;
      const taken = response.write(lines ? `${JSON.stringify(value)}\n` : (value as Uint8Array));
      if (!taken && !response.destroyed) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      if (response.destroyed) break;
      next = iterator.next();
    }
    ended = true;
  } catch (error) {
    ended = true;
    const told = errorToWire(error);
    if (lines) response.write(`${JSON.stringify({ error: told })}\n`);
    // A header holds ASCII.
    else response.addTrailers({ 'hyperplug-error': encodeURIComponent(JSON.stringify(told)) });
  } finally {
    if (!ended || response.destroyed) next.catch(() => {});
    if (response.destroyed) void iterator.return?.().catch(() => {});
    response.end();
  }
}
