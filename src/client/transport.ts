import { randomUUID } from 'node:crypto';
import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { abortError, throwIfAborted } from '../core/calls.js';
import { HyperplugError, isHyperplugError } from '../core/errors.js';
import { errorFromWire } from './wire/errors.js';

/** An answer to an aborted call says what came of the undoing: so long it is waited for. */
const UNDO_WAIT_MS = 60_000;
/** Beyond its own deadline the daemon has this long to say so. */
const ANSWER_GRACE_MS = 30_000;
const CANCEL_TIMEOUT_MS = 5_000;
/** Whoever brings a deadline of its own has the daemon set none. */
export const LONGEST_MS = 86_400_000;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

export interface Call {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  /** JSON, unless it is a Buffer. */
  readonly body?: unknown;
  readonly session?: string | undefined;
  /** It may last: on a connection of its own, so that it holds up no other call. */
  readonly own?: boolean;
}

/** HTTP to the daemon's socket: errors come out as they went in, and an aborted call ends at the other side as well. */
export class Transport {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: 8, timeout: 30_000 });
  readonly #open = new Set<ClientRequest | Duplex>();
  #closed = false;

  constructor(readonly socketPath: string) {}

  async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const bytes = await this.bytes(method, path, call);
    try {
      return JSON.parse(bytes.toString('utf8')) as T;
    } catch (cause) {
      throw new HyperplugError('DAEMON_FAILED', `${method} ${path}: expected an answer of JSON`, { cause });
    }
  }

  /** The whole answer. @throws what the daemon threw; DAEMON_UNREACHABLE, DAEMON_LOST, ABORTED, TIMEOUT. */
  async bytes(method: string, path: string, call: Call = {}): Promise<Buffer> {
    const { response, done } = await this.#send(method, path, call);
    try {
      return await collect(response);
    } catch (error) {
      throw done.reason(error);
    } finally {
      done.end();
    }
  }

  /** Chunks as they come. Who leaves early ends it at the daemon as well. */
  async *stream(method: string, path: string, call: Call = {}): AsyncGenerator<Buffer> {
    const { response, done } = await this.#send(method, path, { timeoutMs: LONGEST_MS, ...call }, true);
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) yield chunk;
      const late = response.trailers['hyperplug-error'];
      if (typeof late === 'string') throw errorFromWire(JSON.parse(decodeURIComponent(late)));
    } catch (error) {
      throw done.reason(error);
    } finally {
      done.end();
      response.destroy();
    }
  }

  /** Values of a stream of lines. */
  async *lines<T>(method: string, path: string, call: Call = {}): AsyncGenerator<T> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of this.stream(method, path, call)) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
        const value = JSON.parse(rest.toString('utf8', 0, end)) as Awaited<T>;
        rest = rest.subarray(end + 1);
        if (typeof value === 'object' && value !== null && 'error' in value) throw errorFromWire(value.error);
        yield value;
      }
    }
  }

  /** A connection that has become something else. @throws as bytes(). */
  async upgrade(path: string, protocol: string, { signal }: Call): Promise<{ socket: Duplex; head: Buffer }> {
    this.#check(signal, path);
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        socketPath: this.socketPath,
        method: 'POST',
        path,
        headers: { host: 'localhost', connection: 'Upgrade', upgrade: protocol },
      });
      const onAbort = () => request.destroy(signal && abortError(signal, `POST ${path}`));
      signal?.addEventListener('abort', onAbort, { once: true });
      const settled = () => signal?.removeEventListener('abort', onAbort);
      this.#track(request);
      request.once('upgrade', (_response, socket, head) => {
        settled();
        this.#track(socket);
        resolve({ socket, head });
      });
      request.once('response', (response) => {
        settled();
        collect(response).then((body) => reject(answeredError(response, body)), reject);
      });
      request.once('error', (error) => {
        settled();
        reject(this.#lost(error, `POST ${path}`, signal));
      });
      request.end();
    });
  }

  /** Every call that waits rejects, and nothing of ours keeps the process any longer. */
  close(): void {
    this.#closed = true;
    for (const each of this.#open) each.destroy(new HyperplugError('ABORTED', 'the client was closed'));
    this.#agent.destroy();
  }

  #check(signal: AbortSignal | undefined, what: string): void {
    if (this.#closed) throw new TypeError('hyperplug: closed already');
    if (signal) throwIfAborted(signal, what);
  }

  #track(each: ClientRequest | Duplex): void {
    this.#open.add(each);
    each.once('close', () => this.#open.delete(each));
  }

  #send(method: string, path: string, call: Call, streams = false): Promise<Sent> {
    const { signal, timeoutMs, query, body, session, own = streams } = call;
    const what = `${method} ${path}`;
    this.#check(signal, what);
    const requestId = randomUUID();
    const payload = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
    const request = httpRequest({
      socketPath: this.socketPath,
      agent: own ? false : this.#agent,
      method,
      path: `${path}${queryText(query)}`,
      headers: {
        host: 'localhost',
        'hyperplug-request-id': requestId,
        ...(timeoutMs !== undefined && { 'hyperplug-timeout-ms': Math.max(1, Math.ceil(timeoutMs)) }),
        ...(session !== undefined && { 'hyperplug-session': session }),
        ...(payload && {
          'content-type': Buffer.isBuffer(body) ? 'application/octet-stream' : 'application/json',
          'content-length': payload.length,
        }),
      },
    });
    this.#track(request);
    const timers: NodeJS.Timeout[] = [];
    const later = (delayMs: number, then: () => void) => void timers.push(setTimeout(then, delayMs));
    const onAbort = () => {
      const reason = abortError(signal as AbortSignal, what);
      if (streams) return void request.destroy(reason);
      const code = reason.code === 'TIMEOUT' ? 'TIMEOUT' : 'ABORTED';
      this.#cancel(requestId, code, reason.message).catch(() => request.destroy(reason));
      later(UNDO_WAIT_MS, () => request.destroy(reason));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const late = new HyperplugError('DAEMON_LOST', `${what}: the daemon does not answer`);
    if (timeoutMs !== undefined && timeoutMs < LONGEST_MS)
      later(timeoutMs + ANSWER_GRACE_MS, () => request.destroy(late));
    const done: Done = {
      end: () => {
        for (const timer of timers) clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      },
      reason: (error) => this.#lost(error, what, signal),
    };
    return new Promise<Sent>((resolve, reject) => {
      const fail = (error: unknown) => {
        done.end();
        reject(error);
      };
      request.once('error', (error) => fail(this.#lost(error, what, signal)));
      request.once('response', (response) => {
        if ((response.statusCode ?? 0) < 400) resolve({ response, done });
        else
          collect(response).then(
            (bytes) => fail(answeredError(response, bytes)),
            (error) => fail(done.reason(error)),
          );
      });
      request.end(payload);
    });
  }

  /** On a connection of its own. */
  async #cancel(requestId: string, code: string, message: string): Promise<void> {
    const payload = Buffer.from(JSON.stringify({ code, message: message.slice(0, 4096) }));
    await new Promise<void>((resolve, reject) => {
      const request = httpRequest(
        {
          socketPath: this.socketPath,
          method: 'POST',
          path: `/v1/requests/${requestId}/cancel`,
          timeout: CANCEL_TIMEOUT_MS,
          headers: { host: 'localhost', 'content-type': 'application/json', 'content-length': payload.length },
        },
        (response) => {
          collect(response).then((bytes) => {
            // One that has not arrived there will not be undone either.
            const { found } = JSON.parse(bytes.toString()) as { found?: boolean };
            if (found) resolve();
            else reject(new Error('no such request'));
          }, reject);
        },
      );
      request.once('timeout', () => request.destroy(new Error('no answer')));
      request.once('error', reject);
      request.end(payload);
    });
  }

  /** What a broken connection is told as. */
  #lost(error: unknown, what: string, signal?: AbortSignal): unknown {
    if (isHyperplugError(error)) return error;
    if (signal?.aborted) return abortError(signal, what);
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'EACCES' || code === 'ENOTSOCK') {
      return new HyperplugError('DAEMON_UNREACHABLE', `no daemon answers at ${this.socketPath}: ${message}`, {
        cause: error,
        details: {
          path: this.socketPath,
          errno: code,
          fix: 'start it: hyperplug daemon, or systemctl start hyperplug',
        },
      });
    }
    return new HyperplugError('DAEMON_LOST', `${what}: the connection to the daemon ended: ${message}`, {
      cause: error,
    });
  }
}

interface Done {
  end(): void;
  reason(error: unknown): unknown;
}

interface Sent {
  readonly response: IncomingMessage;
  readonly done: Done;
}

async function collect(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new HyperplugError('DAEMON_FAILED', 'an answer of the daemon is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function answeredError({ statusCode }: IncomingMessage, body: Buffer): Error {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return new HyperplugError('DAEMON_FAILED', `the daemon answered ${statusCode} and no JSON`);
  }
  return errorFromWire(value);
}

function queryText(query: Call['query'] = {}): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const each of Array.isArray(value) ? value : [value]) parts.append(name, String(each));
  }
  const text = parts.toString();
  return text === '' ? '' : `?${text}`;
}

/** A part of a path. */
export const part = (text: string): string => encodeURIComponent(text);
