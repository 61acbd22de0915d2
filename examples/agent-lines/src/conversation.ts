import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type CallOptions, HyperplugError, type JsonValue, raceSignal, throwIfAborted } from 'hyperplug';

/** A chunk of output in base64, and what stands around it. */
const MAX_LINE_BYTES = 64 << 10;
const VERSION = 1;

export interface GuestEvent {
  readonly event: 'out' | 'end' | 'room' | 'exit';
  readonly process: number;
  readonly fd?: number;
  readonly data?: string;
  readonly bytes?: number;
  readonly code?: number;
  readonly signal?: number;
}

interface Answer {
  readonly id: number;
  readonly ok?: JsonValue;
  readonly error?: string;
  readonly errno?: number;
}

interface Waiting {
  resolve(value: JsonValue): void;
  reject(error: Error): void;
}

const EVENTS = new Set(['out', 'end', 'room', 'exit']);

/** Requests and their answers, by number, and events. The guest is hostile: all it says is bounded and looked at. */
export class Conversation {
  /** Resolves, with the reason, when it is over. */
  readonly closed: Promise<Error>;
  onEvent: (event: GuestEvent) => void = () => {};
  readonly #waiting = new Map<number, Waiting>();
  #tellClosed: (reason: Error) => void = () => {};
  #over: HyperplugError | undefined;
  #held = Buffer.alloc(0) as Buffer;
  #lastId = 0;
  /** Until the greeting: what a conversation before this one left is passed over. */
  #stale: boolean;

  constructor(
    readonly channel: Duplex,
    resumed: boolean,
  ) {
    this.#stale = resumed;
    this.closed = new Promise((resolve) => {
      this.#tellClosed = resolve;
    });
    channel.on('data', (chunk: Buffer) => this.#take(chunk));
    channel.on('error', (error) => this.end('AGENT_CLOSED', `the channel failed: ${error.message}`, error));
    channel.on('end', () => this.end('AGENT_CLOSED', 'the guest closed the channel'));
    channel.on('close', () => this.end('AGENT_CLOSED', 'the channel closed'));
  }

  /** @throws AGENT_VERSION, AGENT_PROTOCOL, AGENT_CLOSED, TIMEOUT, ABORTED. */
  async hello(options: CallOptions): Promise<void> {
    const nonce = randomUUID();
    const answer = (await this.request('hello', { nonce }, options)) as { nonce?: unknown; version?: unknown } | null;
    if (answer?.nonce !== nonce) throw new HyperplugError('AGENT_PROTOCOL', 'agent lines: the greeting is not ours');
    this.#stale = false;
    if (answer.version === VERSION) return;
    throw new HyperplugError(
      'AGENT_VERSION',
      `agent lines: expected version ${VERSION}, got ${String(answer.version)}`,
    );
  }

  /** @throws AGENT_REFUSED with the guest's reason; AGENT_CLOSED, TIMEOUT, ABORTED. */
  async request(what: string, fields: Record<string, JsonValue>, { signal }: CallOptions): Promise<JsonValue> {
    if (this.#over) throw this.#over;
    throwIfAborted(signal, `agent: ${what}`);
    const id = ++this.#lastId;
    const answer = new Promise<JsonValue>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.send({ id, do: what, ...fields });
    try {
      return await raceSignal(answer, signal, `agent: ${what}`);
    } finally {
      // A late answer is none to anything.
      this.#waiting.delete(id);
    }
  }

  /** In ASCII without spaces, as the guest reads it. */
  send(message: Record<string, JsonValue>): void {
    if (this.#over) return;
    const text = JSON.stringify(message).replace(
      /[\u007f-\uffff]/g,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    this.channel.write(`${text}\n`);
  }

  /** The first reason stands. Everything that waits fails at once. */
  end(code: 'AGENT_CLOSED' | 'AGENT_PROTOCOL', why: string, cause?: unknown): void {
    if (this.#over) return;
    this.#over = new HyperplugError('AGENT_CLOSED', `agent lines: ${why}`, { cause });
    const first = code === 'AGENT_CLOSED' ? this.#over : new HyperplugError(code, `agent lines: ${why}`, { cause });
    for (const { reject } of this.#waiting.values()) reject(first);
    this.#waiting.clear();
    this.channel.destroy();
    this.#tellClosed(first);
  }

  get over(): HyperplugError | undefined {
    return this.#over;
  }

  #take(chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (let at = rest.indexOf(10); at >= 0 && !this.#over; at = rest.indexOf(10)) {
      this.#takeLine(rest.subarray(0, at));
      rest = rest.subarray(at + 1);
    }
    this.#held = rest;
    if (this.#stale && rest.length > MAX_LINE_BYTES) this.#held = Buffer.alloc(0);
    else if (!this.#stale && !isBegun(rest)) this.end('AGENT_PROTOCOL', `what came is no line: ${shownBytes(rest)}`);
  }

  #takeLine(line: Buffer): void {
    if (line.length === 0) return;
    const message = line.length <= MAX_LINE_BYTES && isBegun(line) ? parsed(line) : undefined;
    if (message && 'id' in message) this.#answered(message);
    else if (message && !this.#stale) this.onEvent(message);
    else if (!this.#stale) this.end('AGENT_PROTOCOL', `what came is no message: ${shownBytes(line)}`);
  }

  #answered({ id, ok, error, errno }: Answer): void {
    const waiting = this.#waiting.get(id);
    if (error === undefined) waiting?.resolve(ok ?? null);
    else {
      const reason = error.slice(0, 500);
      const details = { reason, errno };
      waiting?.reject(new HyperplugError('AGENT_REFUSED', `the agent refused: ${reason}`, { details }));
    }
  }
}

/** The beginning of a line of ours: printable ASCII after a brace, and no longer than one may be. */
function isBegun(bytes: Buffer): boolean {
  if (bytes.length === 0) return true;
  if (bytes[0] !== 0x7b || bytes.length > MAX_LINE_BYTES) return false;
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

const shownBytes = (bytes: Buffer) => JSON.stringify(bytes.toString('latin1', 0, 60));
const isCount = (value: unknown) => value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);

/** undefined: it is neither an answer nor an event. */
function parsed(line: Buffer): Answer | GuestEvent | undefined {
  let value: Partial<Answer & GuestEvent> | null;
  try {
    value = JSON.parse(line.toString('latin1')) as Partial<Answer & GuestEvent> | null;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, error, errno, event, data } = value;
  if (![id, errno, value.process, value.fd, value.bytes, value.code, value.signal].every(isCount)) return undefined;
  if (id !== undefined) return error === undefined || typeof error === 'string' ? (value as Answer) : undefined;
  const fits =
    EVENTS.has(String(event)) && value.process !== undefined && (data === undefined || typeof data === 'string');
  return fits ? (value as GuestEvent) : undefined;
}
