import { connect, type Socket } from 'node:net';
import { type CallOptions, HyperplugError, type JsonValue, raceSignal } from 'hyperplug';

/** No message of QEMU's is nearly as long. */
const MAX_LINE_CHARACTERS = 1 << 20;

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, JsonValue>>;
}

interface Message extends Partial<QmpEvent> {
  readonly QMP?: JsonValue;
  readonly id?: number;
  readonly return?: JsonValue;
  readonly error?: { readonly class: string; readonly desc: string };
}

interface Waiting {
  resolve(value: JsonValue): void;
  reject(error: Error): void;
}

/**
 * QEMU's machine protocol: one JSON message a line, each answer with the id of its command, events in between
 * (docs/interop/qmp-spec.rst). When the connection closes, everything that waits fails at once.
 */
export class QmpClient {
  readonly #waiting = new Map<number, Waiting>();
  readonly #socket: Socket;
  readonly #onEvent: (event: QmpEvent) => void;
  #greeted: () => void = () => {};
  #text = '';
  #lastId = 0;
  #closed: Error | undefined;

  private constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('the connection closed'));
  }

  /** Connects, reads the greeting and negotiates. @throws QMP_CLOSED nobody listens (yet). */
  static async connect(path: string, onEvent: (event: QmpEvent) => void, options: CallOptions): Promise<QmpClient> {
    const client = new QmpClient(connect(path), onEvent);
    try {
      const greeting = new Promise<void>((resolve, reject) => {
        client.#greeted = resolve;
        client.#waiting.set(0, { resolve: () => {}, reject });
      });
      await raceSignal(greeting, options.signal, 'greeting of QEMU');
      client.#waiting.delete(0);
      await client.execute('qmp_capabilities', {}, options);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** Sent once. @throws QMP_ERROR with QEMU's class and desc; QMP_CLOSED; TIMEOUT, ABORTED. */
  async execute(command: string, args: Record<string, JsonValue>, { signal }: CallOptions): Promise<JsonValue> {
    if (this.#closed) throw this.#closed;
    const id = ++this.#lastId;
    const answer = new Promise<JsonValue>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    try {
      return await raceSignal(answer, signal, `QMP ${command}`);
    } finally {
      // A late answer is none to anything.
      this.#waiting.delete(id);
    }
  }

  close(): void {
    this.#fail('closed');
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#text += text;
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#takeLine(line);
    if (this.#text.length > MAX_LINE_CHARACTERS) this.#protocolError('a message of more than 1 MiB');
  }

  #takeLine(line: string): void {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      this.#protocolError(line.slice(0, 80));
      return;
    }
    if (message.QMP !== undefined) this.#greeted();
    else if (message.event !== undefined) this.#onEvent(message as QmpEvent);
    else this.#answer(message);
  }

  #answer({ id, error, return: result }: Message): void {
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (error) {
      const details = { class: error.class, desc: error.desc };
      waiting?.reject(new HyperplugError('QMP_ERROR', `QEMU: ${error.class}: ${error.desc}`, { details }));
    } else waiting?.resolve(result ?? null);
  }

  #protocolError(what: string): void {
    this.#fail(`not QMP: ${what}`, 'QMP_PROTOCOL');
    this.#socket.destroy();
  }

  #fail(why: string, code: 'QMP_CLOSED' | 'QMP_PROTOCOL' = 'QMP_CLOSED'): void {
    this.#closed ??= new HyperplugError(code, `QMP: ${why}`);
    for (const { reject } of this.#waiting.values()) reject(this.#closed);
    this.#waiting.clear();
  }
}
