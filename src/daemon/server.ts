import type { Duplex } from 'node:stream';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { errorToWire, type WireError } from '../client/wire/errors.js';
import { HyperplugError, isHyperplugError } from '../core/errors.js';
import { loopShare } from '../core/loop-share.js';
import { sendStream } from './answers.js';
import { endSocket } from './exec-stream.js';
import { isTooDeep, MAX_DEPTH } from './json-depth.js';
import { openApiDocument } from './openapi.js';
import { type Context, type Operation, type Services, WithStatus } from './operation.js';
import { operations } from './operations/index.js';
import { parsed } from './parsed.js';
import { httpStatus } from './status-codes.js';

const MAX_JSON_BYTES = 1024 * 1024;
const MAX_HEADER_BYTES = 16 * 1024;
/** A client that does not get its request said in this time is cut off. */
const REQUEST_TIMEOUT_MS = 60_000;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const MAX_TIMEOUT_MS = 24 * 3_600_000;

export interface ServerLimits {
  readonly maxStreams: number;
  readonly maxConnections: number;
  /** For tests, which have no minutes. */
  readonly requestTimeoutMs?: number;
  readonly headersTimeoutMs?: number;
}

/** The HTTP server of the API, not listening yet. */
export function buildServer(services: Services, limits: ServerLimits): FastifyInstance {
  const headersTimeoutMs = limits.headersTimeoutMs ?? HEADERS_TIMEOUT_MS;
  const app = fastify({
    logger: false,
    bodyLimit: MAX_JSON_BYTES,
    requestTimeout: limits.requestTimeoutMs ?? REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    routerOptions: { maxParamLength: 256 },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: true,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs),
    },
    genReqId: (request) => services.requests.idFor(request.headers['hyperplug-request-id']),
    clientErrorHandler: (error, socket) => refuseGarbage(error, socket as Duplex),
    frameworkErrors: (error, request, reply) => void sendError(reply as FastifyReply, error, request.id),
  });
  app.server.maxConnections = limits.maxConnections;
  app.removeContentTypeParser(['text/plain', 'application/json']);
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (isTooDeep(String(body))) {
      done(new HyperplugError('API_REQUEST_INVALID', `body: expected JSON of at most ${MAX_DEPTH} levels`));
    } else parseJson(request, String(body), done);
  });
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.setErrorHandler((error, request, reply) => {
    if (statusOf(error) >= 500) services.logger.error({ requestId: request.id, err: error }, 'a request failed');
    sendError(reply, error, request.id);
  });
  app.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${request.url.split('?')[0]}`;
    sendError(
      reply,
      new HyperplugError('API_NOT_FOUND', `no such path or method: ${what}; /openapi.json has them all`),
      request.id,
    );
  });
  app.addHook('onResponse', async (request, reply) => {
    const seconds = reply.elapsedTime / 1000;
    const name = (request.routeOptions.config as { operation?: string }).operation ?? 'unknown';
    services.metrics.operation(name, reply.raw.statusCode, seconds);
    services.logger.debug(
      { requestId: request.id, operation: name, status: reply.raw.statusCode, durationMs: reply.elapsedTime },
      `${request.method} ${request.url}`,
    );
  });
  for (const each of operations) addOperation(app, services, limits, each);
  const document = openApiDocument(operations, services.version);
  app.get('/openapi.json', async () => document);
  return app;
}

function addOperation(app: FastifyInstance, services: Services, limits: ServerLimits, definition: Operation): void {
  const { method, path, params, query, body, maxBodyBytes, stream } = definition;
  app.route({
    method,
    url: path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { operation: definition.id },
    ...(maxBodyBytes !== undefined && { bodyLimit: maxBodyBytes }),
    handler: async (request, reply) => {
      refuseWhileStopping(services, definition);
      const input = {
        params: params && parsed(params, request.params, 'path'),
        query: query && parsed(query, request.query, 'query'),
        body: body ? parsed(body, request.body, 'body') : bytesOf(definition, request.body),
      };
      const release = stream ? takeStream(services, limits) : () => {};
      const signal = services.requests.begin(request.id, stream === true);
      const onClose = () => {
        if (!reply.raw.writableFinished) services.requests.cancel(request.id, 'ABORTED', 'the client has gone away');
      };
      reply.raw.once('close', onClose);
      try {
        await answer(definition, contextOf(services, request, signal), input, reply);
      } finally {
        services.requests.end(request.id);
        release();
      }
      return reply;
    },
  });
}

async function answer(
  { answer: kind, handle, status = 200 }: Operation,
  context: Context,
  input: Parameters<Operation['handle']>[1],
  reply: FastifyReply,
): Promise<void> {
  await loopShare.take();
  const result = await handle(context, input);
  reply.header('hyperplug-request-id', context.requestId);
  if (kind.kind === 'json') {
    const { status: other = status, value = result } = result instanceof WithStatus ? result : {};
    // A JSON answer always has a body: `null` where there is nothing to say.
    reply
      .code(other)
      .type('application/json')
      .send(JSON.stringify(value ?? null));
  } else if (Buffer.isBuffer(result)) {
    reply
      .code(status)
      .type((kind as { contentType: string }).contentType)
      .send(result);
  } else {
    reply.raw.setHeader('hyperplug-request-id', context.requestId);
    reply.hijack();
    try {
      await sendStream(reply.raw, kind, status, result as AsyncIterable<unknown>);
    } catch (error) {
      if (reply.raw.headersSent || reply.raw.destroyed) reply.raw.destroy();
      else endWithError(reply, error, context.requestId);
    }
  }
}

function contextOf(services: Services, request: FastifyRequest, signal: AbortSignal): Context {
  const { 'hyperplug-timeout-ms': timeout, 'hyperplug-session': session } = request.headers;
  const timeoutMs = timeout === undefined ? undefined : timeoutOf(timeout);
  return {
    ...services,
    call: { signal, ...(timeoutMs !== undefined && { timeoutMs }) },
    requestId: request.id,
    session: typeof session === 'string' ? services.sessions.get(session) : undefined,
  };
}

function timeoutOf(text: string | string[]): number {
  const value = /^\d{1,9}$/.test(String(text)) ? Number(text) : 0;
  if (value >= 1 && value <= MAX_TIMEOUT_MS) return value;
  throw new HyperplugError('API_REQUEST_INVALID', `hyperplug-timeout-ms: expected 1 to ${MAX_TIMEOUT_MS}, got ${text}`);
}

export function refuseWhileStopping({ state }: Services, { always }: Pick<Operation, 'always'>): void {
  if (always || state() !== 'stopping') return;
  throw new HyperplugError('DAEMON_STOPPING', 'the daemon is ending');
}

/** @throws DAEMON_BUSY */
export function takeStream({ metrics }: Services, { maxStreams }: ServerLimits): () => void {
  if (metrics.streams >= maxStreams) {
    metrics.refused += 1;
    throw new HyperplugError('DAEMON_BUSY', `expected at most ${maxStreams} streams at a time (daemon.maxStreams)`, {
      details: { field: 'daemon.maxStreams', expected: maxStreams },
    });
  }
  metrics.streams += 1;
  let open = true;
  return () => {
    if (open) metrics.streams -= 1;
    open = false;
  };
}

function bytesOf({ maxBodyBytes, method }: Operation, body: unknown): unknown {
  if (maxBodyBytes === undefined) return undefined;
  if (Buffer.isBuffer(body)) return body;
  throw new HyperplugError('API_REQUEST_INVALID', `${method}: expected a body of type application/octet-stream`);
}

/** Of whatever was thrown: our own errors as they are, the framework's by its status, all else a defect. */
export function apiError(error: unknown): HyperplugError {
  if (isHyperplugError(error)) return error;
  const { statusCode, message } = error as { statusCode?: number; message?: string };
  if (statusCode === 413) return new HyperplugError('API_TOO_LARGE', 'the body is larger than this request may have');
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new HyperplugError('API_REQUEST_INVALID', `the request: ${message}`);
  }
  return new HyperplugError('DAEMON_FAILED', `the daemon failed: ${message ?? String(error)}`, { cause: error });
}

function statusOf(error: unknown): number {
  return httpStatus(apiError(error).code);
}

export function errorBodyOf(error: unknown, requestId: string): WireError & { requestId: string } {
  return { ...errorToWire(apiError(error)), requestId };
}

function sendError(reply: FastifyReply, error: unknown, requestId: string): void {
  reply
    .code(statusOf(error))
    .header('hyperplug-request-id', requestId)
    .type('application/json')
    .send(JSON.stringify(errorBodyOf(error, requestId)));
}

function endWithError(reply: FastifyReply, error: unknown, requestId: string): void {
  const text = JSON.stringify(errorBodyOf(error, requestId));
  reply.raw.writeHead(statusOf(error), {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  reply.raw.end(text);
}

/** What is no HTTP at all, or too large or too slow to be. */
function refuseGarbage(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const tooSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = tooLarge ? '431 Request Header Fields Too Large' : tooSlow ? '408 Request Timeout' : '400 Bad Request';
  endSocket(
    socket,
    rawAnswer(
      status,
      new HyperplugError(
        tooLarge ? 'API_TOO_LARGE' : 'API_REQUEST_INVALID',
        `the request: ${tooSlow ? 'it was not complete in time' : error.message}`,
      ),
    ),
  );
}

/** An answer where there is no response object to make it with. */
export function rawAnswer(status: string, error: HyperplugError): string {
  const text = JSON.stringify(errorToWire(error));
  return [
    `HTTP/1.1 ${status}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
    '',
    text,
  ].join('\r\n');
}
