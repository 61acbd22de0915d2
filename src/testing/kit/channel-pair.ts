import { Duplex } from 'node:stream';

const brokenPipe = () => Object.assign(new Error('the other end of the channel is closed'), { code: 'EPIPE' });

/**
 * One end of an in-memory byte channel, with a socket's manners: a write is done when the other end has taken it, and an
 * end that is destroyed gives the other an end of file, and EPIPE to what it writes.
 */
class ChannelEnd extends Duplex {
  #other: ChannelEnd | undefined;
  /** Of the other end's write that waits for this one to be read. */
  #taken: ((error?: Error | null) => void) | undefined;
  #ended = false;

  constructor() {
    super({ allowHalfOpen: false });
  }

  join(other: ChannelEnd): void {
    this.#other = other;
  }

  #release(error?: Error): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.(error);
  }

  /** The other end says that nothing more comes. */
  endOfFile(): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    this.push(null);
    // Nobody may be reading; the end has to be noticed all the same.
    if (this.readableLength === 0 && this.readableFlowing === null) this.resume();
  }

  override _read(): void {
    this.#release();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const other = this.#other as ChannelEnd;
    if (other.destroyed || other.#ended) callback(brokenPipe());
    else if (chunk.length === 0) callback();
    else {
      other.#taken = callback;
      other.push(Buffer.from(chunk));
    }
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#other?.endOfFile();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#release(brokenPipe());
    this.#other?.endOfFile();
    callback(error);
  }
}

/** Two ends of one channel: what is written to one is read from the other. */
export function channelPair(): [Duplex, Duplex] {
  const near = new ChannelEnd();
  const far = new ChannelEnd();
  near.join(far);
  far.join(near);
  return [near, far];
}
