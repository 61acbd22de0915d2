import type { Socket } from 'node:net';
import { abortError, type CallOptions, throwIfAborted } from '../../../core/calls.js';
import { HyperplugError, hasCode, isHyperplugError } from '../../../core/errors.js';
import type { JsonValue } from '../../../core/json.js';
import { sendWithFds } from '../../../host/send-fds.js';
import { encodeQmp, protocolError, QmpDecoder, type QmpObject } from './codec.js';
import { decodeEvent, type QmpEvent } from './events.js';
import { classify, type QmpMessage } from './messages.js';

export interface QmpClientOptions {
  /** Asked once when the connection is lost: words to add on why, such as the end of QEMU's stderr. At most 1 s is waited. */
  readonly explainLoss?: () => Promise<{ readonly words: string; readonly details: Readonly<Record<string, unknown>> }>;
  readonly maxLineBytes?: number;
}

interface Waiter {
  readonly command: string;
  /** undefined: nobody waits any more, and the answer is dropped. */
  settle: ((error: unknown, value?: JsonValue) => void) | undefined;
}

const EXPLAIN_TIMEOUT_MS = 1_000;

/**
 * One QMP connection (docs/interop/qmp-spec.rst). Each command is sent once. When the peer dies every waiter fails at
 * once with QMP_CLOSED, and what explainLoss() tells.
 */
export class QmpClient {
  readonly #socket: Socket;
  readonly #options: QmpClientOptions;
  readonly #decoder: QmpDecoder;
  readonly #waiters = new Map<number, Waiter>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #nextId = 1;
  #version: string | undefined;
  #onGreeting: (() => void) | undefined;
  #lost: HyperplugError | undefined;
  #resolveClosed!: (error: HyperplugError) => void;
  #losing = false;
  /** Resolves when the connection is over, with the reason. */
  readonly closed: Promise<HyperplugError>;

  private constructor(socket: Socket, options: QmpClientOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new QmpDecoder(options.maxLineBytes);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#lose(`connection failed: ${error.message}`, error));
    socket.on('end', () => this.#lose('QEMU closed the connection'));
    socket.on('close', () => this.#lose('connection closed'));
  }

  /**
   * Takes over a connected socket: greeting, then qmp_capabilities is sent. On rejection the socket is destroyed.
   * @throws QMP_CLOSED, QMP_PROTOCOL, TIMEOUT, ABORTED.
   */
  static async connect(socket: Socket, options: QmpClientOptions, call: CallOptions): Promise<QmpClient> {
    const client = new QmpClient(socket, options);
    try {
      await client.#greeting(call);
      // QEMU takes commands in order: what is said next need not wait for the answer, and is refused where this is.
      client.execute('qmp_capabilities', undefined, call).catch(() => {});
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** QEMU's version as the greeting gave it: `7.2.22`. */
  get version(): string {
    return this.#version ?? '';
  }

  /**
   * Sends a command and waits for its answer. An aborted one has been sent all the same, and may take effect.
   * @throws QMP_ERROR with QEMU's `class` and `desc`; QMP_CLOSED, QMP_PROTOCOL, TIMEOUT, ABORTED.
   */
  execute(command: string, args: QmpObject | undefined, options: CallOptions): Promise<JsonValue> {
    return this.#send(command, args, options, (bytes) => this.#socket.write(bytes));
  }

  /**
   * execute() with descriptors beside the command (SCM_RIGHTS): QEMU has its own copies when it answers. What is said after
   * `sent` comes behind it. Where it cannot be sent both reject.
   */
  executeWithFds(
    command: string,
    args: QmpObject,
    fds: readonly number[],
    options: CallOptions,
  ): { readonly sent: Promise<void>; readonly answer: Promise<JsonValue> } {
    let sent = Promise.resolve();
    const answer = this.#send(command, args, options, (bytes, failed) => {
      // White space between commands is nothing to QEMU's parser.
      sent = sendWithFds(this.#socket, Buffer.from(bytes), fds, '\n', options);
      sent.catch(failed);
    });
    return { sent, answer };
  }

  #send(
    command: string,
    args: QmpObject | undefined,
    { signal }: CallOptions,
    write: (bytes: string, failed: (error: unknown) => void) => void,
  ): Promise<JsonValue> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal, `QMP ${command}`);
      if (this.#lost) throw this.#lost;
      const id = this.#nextId++;
      const onAbort = () => waiter.settle?.(abortError(signal, `QMP ${command}`));
      const waiter: Waiter = {
        command,
        settle: (error, value) => {
          waiter.settle = undefined;
          signal.removeEventListener('abort', onAbort);
          if (error === undefined) resolve(value as JsonValue);
          else reject(error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.set(id, waiter);
      if (this.#losing) return;
      write(encodeQmp({ execute: command, ...(args && { arguments: args }), id }), (error) => {
        if (this.#lost || this.#losing) return;
        if (hasCode(error, 'HOST_COMMAND_FAILED') && ['EPIPE', 'ECONNRESET'].includes(String(error.details.name))) {
          this.#lose(`connection failed: ${error.message}`, error);
          return;
        }
        this.#waiters.delete(id);
        waiter.settle?.(error);
      });
    });
  }

  /** `listener` is called for each known event from now on. It must not throw. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The next event that `matches`. Call it before the command that leads to it. @throws QMP_CLOSED, TIMEOUT, ABORTED. */
  waitEvent<E extends QmpEvent>(matches: (event: QmpEvent) => event is E, options: CallOptions): Promise<E> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      throwIfAborted(signal, 'QMP event');
      if (this.#lost) throw this.#lost;
      const finish = (act: () => void) => {
        stop();
        signal.removeEventListener('abort', onAbort);
        act();
      };
      const onAbort = () => finish(() => reject(abortError(signal, 'QMP event')));
      const stop = this.onEvent((event) => {
        if (matches(event)) finish(() => resolve(event));
      });
      signal.addEventListener('abort', onAbort, { once: true });
      void this.closed.then((error) => finish(() => reject(error)));
    });
  }

  /** Ends the connection; waiters fail with QMP_CLOSED. QEMU runs on. Idempotent. */
  close(): void {
    this.#end(new HyperplugError('QMP_CLOSED', 'QMP: the connection was closed by this side'));
  }

  #greeting({ signal }: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal, 'QMP greeting');
      if (this.#version !== undefined) return resolve();
      const onAbort = () => reject(abortError(signal, 'QMP greeting'));
      signal.addEventListener('abort', onAbort, { once: true });
      const settle = (act: () => void) => {
        signal.removeEventListener('abort', onAbort);
        act();
      };
      this.#onGreeting = () => settle(resolve);
      void this.closed.then((error) => settle(() => reject(error)));
    });
  }

  #onData(chunk: Buffer): void {
    if (this.#lost) return;
    try {
      for (const object of this.#decoder.push(chunk)) this.#onMessage(classify(object));
    } catch (error) {
      if (!isHyperplugError(error)) throw error;
      this.#end(error);
    }
  }

  #onMessage(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        if (this.#version !== undefined) throw protocolError('a second greeting');
        this.#version = message.version;
        this.#onGreeting?.();
        return;
      case 'event': {
        const event = decodeEvent(message.name, message.data);
        if (event) for (const listener of [...this.#listeners]) listener(event);
        return;
      }
      case 'return':
        this.#take(message.id).settle?.(undefined, message.value);
        return;
      case 'error': {
        if (message.id === undefined) throw protocolError(`an error without an id: ${message.description}`);
        const waiter = this.#take(message.id);
        waiter.settle?.(
          new HyperplugError('QMP_ERROR', `QMP ${waiter.command}: ${message.description}`, {
            details: { command: waiter.command, class: message.errorClass, desc: message.description },
          }),
        );
      }
    }
  }

  #take(id: number): Waiter {
    const waiter = this.#waiters.get(id);
    if (!waiter) throw protocolError(`an answer to command ${id}, which was not sent`);
    this.#waiters.delete(id);
    return waiter;
  }

  #lose(why: string, cause?: unknown): void {
    if (this.#lost || this.#losing) return;
    this.#losing = true;
    void this.#explain().then(({ words, details }) => {
      this.#end(
        new HyperplugError('QMP_CLOSED', `QMP: ${why}${words}`, { ...(cause !== undefined && { cause }), details }),
      );
    });
  }

  async #explain(): Promise<{ words: string; details: Readonly<Record<string, unknown>> }> {
    const nothing = { words: '', details: {} };
    if (!this.#options.explainLoss) return nothing;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<typeof nothing>((resolve) => {
      timer = setTimeout(resolve, EXPLAIN_TIMEOUT_MS, nothing);
    });
    try {
      return await Promise.race([this.#options.explainLoss(), late]);
    } catch {
      return nothing;
    } finally {
      clearTimeout(timer);
    }
  }

  #end(error: HyperplugError): void {
    if (this.#lost) return;
    this.#lost = error;
    this.#socket.destroy();
    for (const waiter of this.#waiters.values()) waiter.settle?.(error);
    this.#waiters.clear();
    this.#resolveClosed(error);
  }
}
