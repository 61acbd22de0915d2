import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { EXEC_PROTOCOL } from '../client/wire/frames.js';
import { HyperplugError } from '../core/errors.js';
import { endWithClient } from './end-process.js';
import { ExecStream, endSocket } from './exec-stream.js';
import type { Services } from './operation.js';
import { parsed } from './parsed.js';
import { execRequest } from './schemas/pod.js';
import { apiError, rawAnswer, refuseWhileStopping, type ServerLimits, takeStream } from './server.js';

const PATH = /^\/v1\/pods\/([^/?#]{1,128})\/exec$/;
const START_TIMEOUT_MS = 30_000;

const startFrame = z.strictObject({
  request: execRequest,
  timeoutMs: z.int().min(1).max(86_400_000).optional().describe('for starting it'),
  onDisconnect: z.enum(['kill', 'leave']).default('kill'),
});

/** Connections that become one command: `POST /v1/pods/{id}/exec` with `Upgrade: hyperplug-exec/1`. */
export class ExecUpgrades {
  readonly #open = new Set<Duplex>();

  constructor(
    private readonly services: Services,
    private readonly limits: ServerLimits,
  ) {}

  listen(server: Server): void {
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      this.#upgrade(request, socket, head);
    });
  }

  /** Every command's connection is cut. */
  closeAll(): void {
    for (const socket of this.#open) socket.destroy();
  }

  #upgrade({ url = '', method, headers }: IncomingMessage, socket: Duplex, head: Buffer): void {
    const id = PATH.exec(url)?.[1];
    if (method !== 'POST' || id === undefined || headers.upgrade?.toLowerCase() !== EXEC_PROTOCOL) {
      const what = `POST /v1/pods/{id}/exec with Upgrade: ${EXEC_PROTOCOL}`;
      const error = new HyperplugError(
        'API_NOT_FOUND',
        `upgrade: expected ${what}, got ${method} ${url.slice(0, 100)}`,
      );
      endSocket(socket, rawAnswer('404 Not Found', error));
      return;
    }
    let release: () => void;
    try {
      refuseWhileStopping(this.services, {});
      release = takeStream(this.services, this.limits);
    } catch (error) {
      endSocket(socket, rawAnswer('503 Service Unavailable', apiError(error)));
      return;
    }
    this.#serve(decodedId(id), socket, head, release);
  }

  #serve(id: string, socket: Duplex, head: Buffer, release: () => void): void {
    const { keeper, requests } = this.services;
    const requestId = requests.idFor(undefined);
    const gone = new AbortController();
    this.#open.add(socket);
    const started = performance.now();
    // A client that upgrades and then says nothing has no use for the stream.
    const timer = setTimeout(() => socket.destroy(), START_TIMEOUT_MS);
    const stream = new ExecStream(
      socket,
      async (frame) => {
        clearTimeout(timer);
        const { request, timeoutMs, onDisconnect } = parsed(startFrame, frame, 'start');
        const call = { signal: gone.signal, ...(timeoutMs !== undefined && { timeoutMs }) };
        const { pod } = await keeper.get(id, call);
        const process = await pod.spawn(request, call);
        endWithClient(process, { ...this.services, call, requestId }, onDisconnect);
        return process;
      },
      () => {
        clearTimeout(timer);
        this.#open.delete(socket);
        release();
        this.services.metrics.operation('execStream', 101, (performance.now() - started) / 1000);
        gone.abort(new HyperplugError('ABORTED', 'the client has gone away'));
      },
    );
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${EXEC_PROTOCOL}\r\nhyperplug-request-id: ${requestId}\r\n\r\n`,
    );
    stream.feed(head);
  }
}

function decodedId(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
