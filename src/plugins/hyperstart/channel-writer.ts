import type { Duplex } from 'node:stream';
import { CHANNEL_QUEUE_BYTES } from './limits.js';

/**
 * The sending half of a channel: how much may be written now, by the channel's own buffer and by the window (bytes that
 * the guest has not reported as read).
 */
export class ChannelWriter {
  #unreadBytes = 0;
  /** Called when there may be room again. */
  onRoom: () => void = () => {};

  /** @param windowBytes undefined: the channel has sound flow control of its own. */
  constructor(
    readonly channel: Duplex,
    public windowBytes: number | undefined,
  ) {
    channel.on('drain', () => this.onRoom());
  }

  /** Bytes that may be sent now; 0 until onRoom. */
  get room(): number {
    if (this.channel.writableNeedDrain && this.channel.writableLength >= CHANNEL_QUEUE_BYTES) return 0;
    if (this.windowBytes === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.windowBytes - this.#unreadBytes);
  }

  send(bytes: Uint8Array): void {
    this.#unreadBytes += bytes.length;
    this.channel.write(bytes);
  }

  /** The guest has read so many bytes more. What it claims beyond what was sent harms only its own channel. */
  read(bytes: number): void {
    this.#unreadBytes = Math.max(0, this.#unreadBytes - bytes);
    this.onRoom();
  }
}

/** A message that waits for its turn on the control channel. */
export interface QueuedMessage {
  readonly bytes: Buffer;
  sentBytes: number;
}

/** Sends control messages in order, in parts where the window is smaller than they are; credits are gathered while it is full. */
export class ControlOutbox {
  readonly #queue: QueuedMessage[] = [];
  readonly #credits = new Map<number, number>();

  constructor(
    readonly writer: ChannelWriter,
    readonly encodeCredit: (sequence: number, bytes: number) => Buffer,
  ) {
    writer.onRoom = () => this.#flush();
  }

  send(bytes: Buffer): QueuedMessage {
    const message = { bytes, sentBytes: 0 };
    this.#queue.push(message);
    this.#flush();
    return message;
  }

  /** True: not a byte of it had been sent, and none will be. */
  withdraw(message: QueuedMessage): boolean {
    const index = this.#queue.indexOf(message);
    if (index < 0 || message.sentBytes > 0) return false;
    this.#queue.splice(index, 1);
    return true;
  }

  grant(sequence: number, bytes: number): void {
    this.#credits.set(sequence, (this.#credits.get(sequence) ?? 0) + bytes);
    this.#flush();
  }

  clear(): void {
    this.#queue.length = 0;
    this.#credits.clear();
  }

  #flush(): void {
    for (;;) {
      const room = this.writer.room;
      if (room === 0) return;
      // Credits go before a message not begun: they are small, and streams wait for them.
      if (this.#credits.size > 0 && (this.#queue[0]?.sentBytes ?? 0) === 0) this.#queueCredits();
      const message = this.#queue[0];
      if (message === undefined) return;
      const end = Math.min(message.bytes.length, message.sentBytes + room);
      const part = message.bytes.subarray(message.sentBytes, end);
      message.sentBytes = end;
      if (end === message.bytes.length) this.#queue.shift();
      this.writer.send(part);
    }
  }

  #queueCredits(): void {
    const messages = Array.from(this.#credits, ([sequence, bytes]) => ({
      bytes: this.encodeCredit(sequence, bytes),
      sentBytes: 0,
    }));
    this.#credits.clear();
    this.#queue.unshift(...messages);
  }
}
