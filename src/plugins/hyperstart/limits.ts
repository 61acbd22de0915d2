import { LIMIT } from './protocol.gen.js';

/** Our own bounds, on what a hostile guest may make us hold; the protocol's are LIMIT. */

/** The original's output buffer grows to some 10 KiB; nothing it sends is larger. */
export const MAX_ORIGINAL_STREAM_PAYLOAD_BYTES = 64 * 1024;
/** Consumed bytes are told to the guest in steps of this size. */
export const CREDIT_STEP_BYTES = LIMIT.INITIAL_CREDIT_BYTES / 4;

/** The original: its stdin buffer; what does not fit is discarded by it. */
export const ORIGINAL_STDIN_BYTES = 512;
/** The original has no credit: the streams channel is not read while its readers leave more than this unread. */
export const ORIGINAL_BUFFER_BYTES = 1024 * 1024;

/** A resuming client without an answer asks again: by then the agent has given up on a message half read before. */
export const ASK_AGAIN_MS = LIMIT.PARTIAL_MESSAGE_TIMEOUT_MS + 1_000;
/** Until the versions are agreed. */
export const MAX_HANDSHAKE_MESSAGE_BYTES = 64 * 1024;
/** Messages of unknown codes, or answers to nothing, that are overlooked. */
export const MAX_UNKNOWN_MESSAGES = 64;
/** Bytes on streams that we never opened, or opened and forgot, that are overlooked. */
export const MAX_UNKNOWN_STREAM_BYTES = 16 * 1024 * 1024;
/** What may wait in the channel's own write buffer before senders wait. */
export const CHANNEL_QUEUE_BYTES = 256 * 1024;
/** A piece smaller than this is copied, so that one byte does not hold a whole read buffer. */
export const COPY_BELOW_BYTES = 4 * 1024;
