import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import { HyperplugError, shown } from '../../core/errors.js';
import type { ControlOutbox } from './channel-writer.js';
import { encodeControl } from './control-codec.js';
import { type Command, type Dialect, type DialectEvents, refused } from './dialect.js';
import { PendingCall } from './pending-call.js';
import { COMMAND } from './protocol.gen.js';

/** Answers come in order, ERROR is empty, NEXT covers what was read. */
export class OriginalDialect implements Dialect {
  /** In the order sent. One whose caller has gone stays, to take its answer. */
  readonly #calls: PendingCall[] = [];
  #closed: Error | undefined;

  constructor(
    readonly outbox: ControlOutbox,
    readonly events: DialectEvents,
  ) {}

  async call(command: Command, options: CallOptions): Promise<Buffer> {
    throwIfAborted(options.signal, command.what);
    if (this.#closed) throw this.#closed;
    const call = new PendingCall(command, options, (gone) => {
      const withdrawn = gone.message !== undefined && this.outbox.withdraw(gone.message);
      if (withdrawn) this.#calls.splice(this.#calls.indexOf(gone), 1);
      return withdrawn;
    });
    this.#calls.push(call);
    call.message = this.outbox.send(encodeControl(command.code, ...command.payload));
    return call.result;
  }

  receive(code: number, payload: Buffer): void {
    if (code === COMMAND.NEXT) {
      if (payload.length !== 4)
        throw new HyperplugError('AGENT_PROTOCOL', `NEXT: expected 4 bytes, got ${payload.length}`);
      this.outbox.writer.read(payload.readUInt32BE(0));
    } else if (code === COMMAND.PROCESSASYNCEVENT) {
      this.events.processEvent(payload);
    } else if (code === COMMAND.ACK || code === COMMAND.ERROR) {
      this.#answer(code, payload);
    } else if (code !== COMMAND.READY) {
      throw new HyperplugError('AGENT_PROTOCOL', `a message of code ${code}, which no original sends`);
    }
  }

  fail(error: Error): void {
    this.#closed = error;
    this.outbox.clear();
    for (const call of this.#calls.splice(0)) call.fail(error);
  }

  #answer(code: number, payload: Buffer): void {
    const call = this.#calls.shift();
    if (call === undefined) throw new HyperplugError('AGENT_PROTOCOL', 'an answer to no command');
    if (call.message && call.message.sentBytes < call.message.bytes.length) {
      throw new HyperplugError('AGENT_PROTOCOL', `${call.command.what}: answered before it was sent`);
    }
    if (code === COMMAND.ACK) call.succeed(Buffer.from(payload));
    else {
      const words =
        payload.length > 0
          ? shown(payload.subarray(0, 200).toString('utf8'))
          : 'an original hyperstart gives no reason';
      call.fail(refused(call.command.what, `refused (${words})`));
    }
  }
}
