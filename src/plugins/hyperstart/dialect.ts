import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';

/** One command to the guest. */
export interface Command {
  readonly code: number;
  /** For error messages: `exec`, `setupInterface eth0`. */
  readonly what: string;
  readonly payload: readonly Uint8Array[];
  /** For a call that was aborted: called once, when it is known whether the guest has carried it out all the same. */
  readonly onLate?: (carriedOut: boolean) => void;
}

/** How commands, answers and events are exchanged on the control channel: the base protocol's way, or the extension's. */
export interface Dialect {
  /**
   * Resolves with the ACK's payload.
   * @throws AGENT_REFUSED the guest's ERROR; AGENT_EXEC_FAILED its ERROR EXEC; AGENT_CLOSED, TIMEOUT, ABORTED.
   */
  call(command: Command, options: CallOptions): Promise<Buffer>;
  /** A message from the guest. @throws AGENT_PROTOCOL. */
  receive(code: number, payload: Buffer): void;
  /** Rejects every call that waits. */
  fail(error: Error): void;
}

export interface DialectEvents {
  processEvent(payload: Buffer): void;
  /** CREDIT. @throws AGENT_PROTOCOL. */
  credit(sequence: number, bytes: number): void;
  /** The agent has ended the session, and says why. */
  ended(error: HyperplugError): void;
  /** NEXT for the streams channel. */
  streamsRead(bytes: number): void;
}

export function refused(what: string, reason: string, details: Readonly<Record<string, unknown>> = {}): HyperplugError {
  return new HyperplugError('AGENT_REFUSED', `${what}: ${reason}`, { details: { reason, ...details } });
}
