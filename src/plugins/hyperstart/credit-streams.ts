import { HyperplugError } from '../../core/errors.js';
import type { ChannelWriter } from './channel-writer.js';
import { InputStream } from './input-stream.js';
import { CREDIT_STEP_BYTES, MAX_UNKNOWN_STREAM_BYTES } from './limits.js';
import { OutputStream } from './output-stream.js';
import { LIMIT } from './protocol.gen.js';
import { encodeMark, PatternScanner } from './scanners.js';
import { encodeStreamHeader, STREAM_HEADER_BYTES, StreamDecoder, type StreamSink } from './stream-codec.js';
import type { Streams } from './streams.js';

/** Beyond so many parts one copy is cheaper than as many writes. */
const MAX_PARTS = 8;

interface Input {
  readonly sequence: number;
  readonly stream: InputStream;
  /** Bytes the guest still takes. */
  credit: number;
  queued: boolean;
}

interface Output {
  readonly stream: OutputStream;
  readonly ended: () => void;
  /** Bytes the guest still may send. */
  credit: number;
  /** Consumed, and not yet told. */
  ungranted: number;
}

/** Streams of the extension: credit for each direction of each of them. */
export class CreditStreams implements Streams, StreamSink {
  readonly #inputs = new Map<number, Input>();
  readonly #outputs = new Map<number, Output>();
  /** Inputs that have something to send and the credit for it, in turn. */
  readonly #turns: Input[] = [];
  readonly #decoder = new StreamDecoder(LIMIT.STREAM_PAYLOAD_MAX_BYTES, this);
  #mark: PatternScanner | undefined;
  #unknownBytes = 0;
  #sending = false;

  /** @param sendCredit sends CREDIT on the control channel. */
  constructor(
    readonly writer: ChannelWriter,
    nonce: string,
    readonly sendCredit: (sequence: number, bytes: number) => void,
  ) {
    this.#mark = new PatternScanner(encodeMark(nonce));
    writer.onRoom = () => this.#send();
    writer.send(encodeMark(nonce));
  }

  openInput(sequence: number): InputStream {
    const stream = new InputStream(() => this.#ready(input));
    const input: Input = { sequence, stream, credit: LIMIT.INITIAL_CREDIT_BYTES, queued: false };
    this.#inputs.set(sequence, input);
    return stream;
  }

  openOutput(sequence: number, ended: () => void): OutputStream {
    const stream = new OutputStream((bytes) => this.#consumed(sequence, bytes));
    this.#outputs.set(sequence, { stream, ended, credit: LIMIT.INITIAL_CREDIT_BYTES, ungranted: 0 });
    return stream;
  }

  closeInput(sequence: number): void {
    this.#inputs.delete(sequence);
  }

  close(sequence: number): void {
    this.#inputs.delete(sequence);
    const output = this.#outputs.get(sequence);
    if (!output) return;
    this.#outputs.delete(sequence);
    output.stream.end();
  }

  push(chunk: Buffer): void {
    if (this.#mark === undefined) {
      this.#decoder.push(chunk);
      return;
    }
    const rest = this.#mark.push(chunk);
    if (rest === undefined) return;
    this.#mark = undefined;
    if (rest.length > 0) this.#decoder.push(rest);
  }

  data(sequence: number, piece: Buffer): void {
    const output = this.#outputs.get(sequence);
    if (output === undefined) {
      this.#unknownBytes += piece.length;
      if (this.#unknownBytes > MAX_UNKNOWN_STREAM_BYTES) {
        throw new HyperplugError(
          'AGENT_PROTOCOL',
          `more than ${MAX_UNKNOWN_STREAM_BYTES} bytes on streams that are not open`,
        );
      }
      return;
    }
    output.credit -= piece.length;
    if (output.credit < 0) {
      throw new HyperplugError(
        'AGENT_PROTOCOL',
        `stream ${sequence}: ${-output.credit} bytes more than it had credit for`,
        {
          details: { sequence },
        },
      );
    }
    output.stream.receive(piece);
  }

  end(sequence: number): void {
    const output = this.#outputs.get(sequence);
    if (output === undefined) return;
    this.#outputs.delete(sequence);
    output.stream.end();
    output.ended();
  }

  grant(sequence: number, bytes: number): void {
    const input = this.#inputs.get(sequence);
    if (input === undefined) return;
    input.credit += bytes;
    if (input.credit > LIMIT.INITIAL_CREDIT_BYTES) {
      throw new HyperplugError(
        'AGENT_PROTOCOL',
        `stream ${sequence}: credit of ${input.credit}, above ${LIMIT.INITIAL_CREDIT_BYTES}`,
        {
          details: { sequence },
        },
      );
    }
    this.#ready(input);
  }

  read(bytes: number): void {
    this.writer.read(bytes);
  }

  destroy(error: Error): void {
    const streams = [...this.#inputs.values(), ...this.#outputs.values()].map(({ stream }) => stream);
    this.#inputs.clear();
    this.#outputs.clear();
    this.#turns.length = 0;
    for (const stream of streams) stream.destroy(error);
  }

  #consumed(sequence: number, bytes: number): void {
    const output = this.#outputs.get(sequence);
    if (output === undefined) return;
    output.ungranted += bytes;
    if (output.ungranted < CREDIT_STEP_BYTES) return;
    const granted = output.ungranted;
    output.ungranted = 0;
    output.credit += granted;
    this.sendCredit(sequence, granted);
  }

  #ready(input: Input): void {
    const { stream } = input;
    if (input.queued || !(stream.endPending || (stream.pendingBytes > 0 && input.credit > 0))) return;
    input.queued = true;
    this.#turns.push(input);
    this.#send();
  }

  /** One message of each ready stream in turn, as long as the channel takes them. */
  #send(): void {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#turnFits()) {
      this.writer.channel.cork();
      while (this.#turnFits()) this.#turn();
      // A channel that delivers at once may make streams ready, or room, meanwhile.
      this.writer.channel.uncork();
    }
    this.#sending = false;
  }

  #turnFits(): boolean {
    const input = this.#turns[0];
    return input !== undefined && this.writer.room >= STREAM_HEADER_BYTES + Math.min(1, input.stream.pendingBytes);
  }

  #turn(): void {
    const input = this.#turns.shift()!;
    input.queued = false;
    // Ended or closed meanwhile.
    if (this.#inputs.get(input.sequence) !== input) return;
    if (input.stream.pendingBytes === 0) this.#sendEnd(input);
    else this.#sendData(input, this.writer.room - STREAM_HEADER_BYTES);
    this.#ready(input);
  }

  #sendEnd(input: Input): void {
    if (!input.stream.endPending) return;
    this.writer.send(encodeStreamHeader(input.sequence, 0));
    this.#inputs.delete(input.sequence);
    input.stream.endTaken();
  }

  #sendData(input: Input, room: number): void {
    const bytes = Math.min(input.stream.pendingBytes, input.credit, room, LIMIT.STREAM_PAYLOAD_MAX_BYTES);
    const parts = input.stream.take(bytes);
    input.credit -= bytes;
    this.writer.send(encodeStreamHeader(input.sequence, bytes));
    if (parts.length > MAX_PARTS) this.writer.send(Buffer.concat(parts));
    else for (const part of parts) this.writer.send(part);
    input.stream.taken();
  }
}
