import type { ChannelWriter } from './channel-writer.js';
import { InputStream } from './input-stream.js';
import { MAX_ORIGINAL_STREAM_PAYLOAD_BYTES, ORIGINAL_BUFFER_BYTES, ORIGINAL_STDIN_BYTES } from './limits.js';
import { OutputStream } from './output-stream.js';
import { encodeStreamHeader, STREAM_HEADER_BYTES, StreamDecoder, type StreamSink } from './stream-codec.js';
import type { Streams } from './streams.js';

/** What a terminal takes for the end of its input (VEOF); the original ignores an empty message there. */
const END_OF_TRANSMISSION = Buffer.from([4]);

interface Input {
  readonly sequence: number;
  readonly stream: InputStream;
  readonly terminal: boolean;
  queued: boolean;
}

interface Output {
  readonly stream: OutputStream;
  readonly ended: () => void;
}

/**
 * Streams of an original hyperstart. It discards stdin that comes faster than its event loop turns, so each message is
 * followed by round trips through that loop before the next (of any stream) is sent; a process that does not read its
 * stdin can still lose some, and nothing tells. Its output has no credit: while readers leave too much, none is read.
 */
export class PacedStreams implements Streams, StreamSink {
  readonly #inputs = new Map<number, Input>();
  readonly #outputs = new Map<number, Output>();
  readonly #turns: Input[] = [];
  readonly #decoder = new StreamDecoder(MAX_ORIGINAL_STREAM_PAYLOAD_BYTES, this);
  #heldBytes = 0;
  #paused = false;
  #sending = false;
  #destroyed = false;

  /** @param roundTrip resolves when the original's loop has turned; rejects when the session is over. */
  constructor(
    readonly writer: ChannelWriter,
    readonly roundTrip: () => Promise<unknown>,
  ) {}

  openInput(sequence: number, options: { readonly terminal: boolean }): InputStream {
    const stream = new InputStream(() => this.#ready(input));
    const input: Input = { sequence, stream, terminal: options.terminal, queued: false };
    this.#inputs.set(sequence, input);
    return stream;
  }

  openOutput(sequence: number, ended: () => void): OutputStream {
    const stream = new OutputStream((bytes) => this.#consumed(bytes));
    this.#outputs.set(sequence, { stream, ended });
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
    this.#decoder.push(chunk);
  }

  data(sequence: number, piece: Buffer): void {
    const output = this.#outputs.get(sequence);
    if (output === undefined) return;
    this.#heldBytes += piece.length;
    output.stream.receive(piece);
    if (this.#paused || this.#heldBytes <= ORIGINAL_BUFFER_BYTES) return;
    this.#paused = true;
    this.writer.channel.pause();
  }

  end(sequence: number): void {
    const output = this.#outputs.get(sequence);
    if (output === undefined) return;
    this.#outputs.delete(sequence);
    output.stream.end();
    output.ended();
  }

  /** There is none in this protocol. */
  grant(): void {}
  read(): void {}

  destroy(error: Error): void {
    this.#destroyed = true;
    const streams = [...this.#inputs.values(), ...this.#outputs.values()].map(({ stream }) => stream);
    this.#inputs.clear();
    this.#outputs.clear();
    this.#turns.length = 0;
    for (const stream of streams) stream.destroy(error);
  }

  #consumed(bytes: number): void {
    this.#heldBytes -= bytes;
    if (!this.#paused || this.#destroyed || this.#heldBytes > ORIGINAL_BUFFER_BYTES / 2) return;
    this.#paused = false;
    this.writer.channel.resume();
  }

  #ready(input: Input): void {
    if (input.queued || !(input.stream.endPending || input.stream.pendingBytes > 0)) return;
    input.queued = true;
    this.#turns.push(input);
    if (!this.#sending) this.#send().catch(() => {});
  }

  async #send(): Promise<void> {
    this.#sending = true;
    try {
      for (let input = this.#turns.shift(); input; input = this.#turns.shift()) {
        input.queued = false;
        const end = input.stream.endPending;
        if (this.#inputs.get(input.sequence) !== input || (input.stream.pendingBytes === 0 && !end)) continue;
        const payload = end ? (input.terminal ? END_OF_TRANSMISSION : Buffer.alloc(0)) : this.#take(input);
        this.writer.send(Buffer.concat([encodeStreamHeader(input.sequence, payload.length), payload]));
        // Two: the first may overtake the message, which goes by another channel.
        await this.roundTrip();
        await this.roundTrip();
        if (end) {
          this.#inputs.delete(input.sequence);
          input.stream.endTaken();
        } else {
          input.stream.taken();
          this.#ready(input);
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  #take(input: Input): Buffer {
    const window = this.writer.windowBytes ?? Number.POSITIVE_INFINITY;
    const most = Math.max(1, Math.min(ORIGINAL_STDIN_BYTES, window - STREAM_HEADER_BYTES));
    return Buffer.concat(input.stream.take(most));
  }
}
