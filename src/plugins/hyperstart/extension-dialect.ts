import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { ControlOutbox } from './channel-writer.js';
import { encodeControl } from './control-codec.js';
import { type Command, type Dialect, type DialectEvents, refused } from './dialect.js';
import { MAX_UNKNOWN_MESSAGES } from './limits.js';
import { PendingCall } from './pending-call.js';
import { COMMAND } from './protocol.gen.js';
import { guestText, parseErrorBody } from './schemas.js';

const ID_BYTES = 4;

export function encodeCredit(sequence: number, bytes: number): Buffer {
  const payload = Buffer.alloc(ID_BYTES + 12);
  payload.writeBigUInt64BE(BigInt(sequence), ID_BYTES);
  payload.writeUInt32BE(bytes, ID_BYTES + 8);
  return encodeControl(COMMAND.CREDIT, payload);
}

/** The body of an ERROR, made fit for people. @throws AGENT_PROTOCOL. */
function agentError(body: Buffer, what: string): { kind: string; details: { reason: string; [key: string]: unknown } } {
  const { code: kind, reason, errno, field } = parseErrorBody(body, what);
  const details = {
    reason: guestText(reason),
    agentCode: guestText(kind),
    ...(errno === undefined ? {} : { errno }),
    ...(field === undefined ? {} : { field: guestText(field) }),
  };
  return { kind, details };
}

/** Every command has an id, answers come in any order, ERROR says why. */
export class ExtensionDialect implements Dialect {
  /** By id. One whose caller has gone stays until its answer came, so that no other gets it. */
  readonly #calls = new Map<number, PendingCall>();
  #lastId = 0;
  #unknownMessages = 0;
  #closed: Error | undefined;

  constructor(
    readonly outbox: ControlOutbox,
    readonly events: DialectEvents,
  ) {}

  async call(command: Command, options: CallOptions): Promise<Buffer> {
    throwIfAborted(options.signal, command.what);
    if (this.#closed) throw this.#closed;
    const id = this.#freeId();
    const call = new PendingCall(command, options, (gone) => {
      const withdrawn = gone.message !== undefined && this.outbox.withdraw(gone.message);
      if (withdrawn) this.#calls.delete(id);
      return withdrawn;
    });
    this.#calls.set(id, call);
    const idBytes = Buffer.alloc(ID_BYTES);
    idBytes.writeUInt32BE(id);
    call.message = this.outbox.send(encodeControl(command.code, idBytes, ...command.payload));
    return call.result;
  }

  receive(code: number, payload: Buffer): void {
    if (payload.length < ID_BYTES) {
      throw new HyperplugError('AGENT_PROTOCOL', `a message of code ${code} without an id`);
    }
    const id = payload.readUInt32BE(0);
    const body = payload.subarray(ID_BYTES);
    if (code === COMMAND.ACK || code === COMMAND.ERROR) this.#answer(code, id, body);
    else if (code === COMMAND.PROCESSASYNCEVENT) this.events.processEvent(body);
    else if (code === COMMAND.CREDIT) this.#credit(body);
    else if (code === COMMAND.NEXT) this.#next(body);
    else this.#unknown(`code ${code}`);
  }

  fail(error: Error): void {
    this.#closed = error;
    this.outbox.clear();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.fail(error);
  }

  #freeId(): number {
    do this.#lastId = (this.#lastId % 0xffff_ffff) + 1;
    while (this.#calls.has(this.#lastId));
    return this.#lastId;
  }

  #answer(code: number, id: number, body: Buffer): void {
    if (id === 0 && code === COMMAND.ERROR) {
      const { details } = agentError(body, 'session');
      this.events.ended(
        new HyperplugError('AGENT_CLOSED', `the agent ended the session: ${details.reason}`, { details }),
      );
      return;
    }
    const call = this.#calls.get(id);
    if (call === undefined) {
      this.#unknown(`an answer with the id ${id}, which no command has`);
      return;
    }
    const { what } = call.command;
    const error = code === COMMAND.ERROR ? agentError(body, what) : undefined;
    this.#calls.delete(id);
    if (error === undefined) call.succeed(Buffer.from(body));
    else if (error.kind === 'EXEC')
      call.fail(new HyperplugError('AGENT_EXEC_FAILED', `${what}: ${error.details.reason}`, error));
    else call.fail(refused(what, error.details.reason, error.details));
  }

  #credit(body: Buffer): void {
    if (body.length !== 12) throw new HyperplugError('AGENT_PROTOCOL', `CREDIT: expected 12 bytes, got ${body.length}`);
    this.events.credit(Number(body.readBigUInt64BE(0)), body.readUInt32BE(8));
  }

  #next(body: Buffer): void {
    if (body.length !== 8) throw new HyperplugError('AGENT_PROTOCOL', `NEXT: expected 8 bytes, got ${body.length}`);
    const channel = body.readUInt32BE(0);
    const bytes = body.readUInt32BE(4);
    if (channel === 0) this.outbox.writer.read(bytes);
    else if (channel === 1) this.events.streamsRead(bytes);
    else throw new HyperplugError('AGENT_PROTOCOL', `NEXT: channel: expected 0 or 1, got ${channel}`);
  }

  /** Later agents may say more than we know; one that only makes noise is cut off. */
  #unknown(what: string): void {
    this.#unknownMessages += 1;
    if (this.#unknownMessages > MAX_UNKNOWN_MESSAGES) {
      throw new HyperplugError('AGENT_PROTOCOL', `too many messages that mean nothing, the last: ${what}`);
    }
  }
}
