import type { InputStream } from './input-stream.js';
import type { OutputStream } from './output-stream.js';

/** The streams channel of a session: many streams, by sequence, each way. */
export interface Streams {
  /** stdin. */
  openInput(sequence: number, options: { readonly terminal: boolean }): InputStream;
  /** stdout or stderr; `ended` is called once, when the guest has sent the end of it. */
  openOutput(sequence: number, ended: () => void): OutputStream;
  /** The process takes no more input: nothing is sent for it any more. */
  closeInput(sequence: number): void;
  /** Forgets the sequence: what still comes for it is dropped. An output that had no end yet ends now. */
  close(sequence: number): void;
  /** Bytes of the channel. @throws AGENT_PROTOCOL. */
  push(chunk: Buffer): void;
  /** CREDIT from the guest. @throws AGENT_PROTOCOL more than there can be. */
  grant(sequence: number, bytes: number): void;
  /** NEXT from the guest for this channel. */
  read(bytes: number): void;
  /** Destroys every stream. */
  destroy(error: Error): void;
}
