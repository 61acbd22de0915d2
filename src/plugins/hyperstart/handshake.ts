import { randomBytes } from 'node:crypto';
import { abortError, type CallOptions } from '../../core/calls.js';
import { HyperplugError, isHyperplugError } from '../../core/errors.js';
import { ControlDecoder, encodeControl } from './control-codec.js';
import { ASK_AGAIN_MS, MAX_HANDSHAKE_MESSAGE_BYTES } from './limits.js';
import type { Link } from './link.js';
import { COMMAND, EXTENSION_VERSION, LIMIT, PROTOCOL_VERSION } from './protocol.gen.js';
import { AnswerScanner } from './scanners.js';
import { guestText, parseVersion } from './schemas.js';

export interface Agreement {
  readonly nonce: string;
  /** The agent's own name and version; undefined: an original hyperstart, base protocol only. */
  readonly agent: string | undefined;
  /** Decodes what follows on the control channel; its sink is the session's to set, at once. */
  readonly decoder: ControlDecoder;
}

export interface HandshakeOptions {
  readonly resumed: boolean;
  readonly windowBytes: number | undefined;
}

/**
 * READY (unless resumed) and versions. `agreed` is called in the middle of the bytes, so that the session misses none of
 * those that follow.
 * @throws AGENT_VERSION, AGENT_PROTOCOL, AGENT_CLOSED, TIMEOUT, ABORTED; the link is closed then.
 */
export function shakeHands<T>(
  link: Link,
  options: HandshakeOptions,
  agreed: (agreement: Agreement) => T,
  { signal }: CallOptions,
): Promise<T> {
  const what = options.resumed ? 'agent: waiting for its version' : 'agent: waiting until it is ready';
  return new Promise<T>((resolve, reject) => {
    const settle = (how: () => void) => {
      signal.removeEventListener('abort', onAbort);
      handshake.stop();
      how();
    };
    const onAbort = () => {
      const error = abortError(signal, what);
      settle(() => reject(error));
      link.fail(error, error.message);
    };
    const handshake = new Handshake(link, options, (agreement) => settle(() => resolve(agreed(agreement))));
    link.onClosed = (error) => settle(() => reject(isHyperplugError(error.cause) ? error.cause : error));
    if (link.error) return link.onClosed(link.error);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    handshake.begin();
  });
}

class Handshake {
  /** Of the last GETVERSION sent: an answer to an earlier one is stale. */
  #nonce = '';
  #again: NodeJS.Timeout | undefined;
  readonly #decoder = new ControlDecoder(MAX_HANDSHAKE_MESSAGE_BYTES, (code, payload) => this.#message(code, payload));
  #asked = false;

  constructor(
    readonly link: Link,
    readonly options: HandshakeOptions,
    readonly agreed: (agreement: Agreement) => void,
  ) {}

  begin(): void {
    if (!this.options.resumed) {
      this.link.receive(this.link.control, (chunk) => this.#decoder.push(chunk));
      return;
    }
    let found: Buffer | undefined;
    const scanner = new AnswerScanner(COMMAND.ACK, PROTOCOL_VERSION, (payload) => {
      if (payload.length > 4 && !payload.includes(this.#nonce)) return false;
      found = payload;
      return true;
    });
    this.link.receive(this.link.control, (chunk) => {
      const rest = scanner.push(chunk);
      if (rest === undefined || found === undefined) return;
      this.link.receive(this.link.control, (next) => this.#decoder.push(next));
      this.#answer(found);
      this.#decoder.push(rest);
    });
    this.#ask();
    this.#again = setInterval(() => this.#ask(), ASK_AGAIN_MS);
  }

  stop(): void {
    clearInterval(this.#again);
  }

  #ask(): void {
    this.#asked = true;
    this.#nonce = randomBytes(LIMIT.NONCE_CHARACTERS / 2).toString('hex');
    const { windowBytes } = this.options;
    const request = {
      hyperplug: EXTENSION_VERSION,
      nonce: this.#nonce,
      ...(windowBytes === undefined ? {} : { window: windowBytes }),
    };
    this.link.control.write(encodeControl(COMMAND.GETVERSION, Buffer.from(JSON.stringify(request))));
  }

  #message(code: number, payload: Buffer): void {
    if (code === COMMAND.READY) {
      if (!this.#asked) this.#ask();
    } else if (!this.#asked) {
      throw new HyperplugError(
        'AGENT_PROTOCOL',
        `expected READY (code ${COMMAND.READY}), got a message of code ${code}`,
      );
    } else if (code === COMMAND.ERROR) {
      throw new HyperplugError('AGENT_VERSION', 'the agent refuses to tell its version');
    } else if (code === COMMAND.ACK) {
      this.#answer(payload);
    } else if (code !== COMMAND.NEXT) {
      throw new HyperplugError('AGENT_PROTOCOL', `expected the agent's version, got a message of code ${code}`);
    }
  }

  #answer(payload: Buffer): void {
    const version = payload.length >= 4 ? payload.readUInt32BE(0) : undefined;
    if (version !== PROTOCOL_VERSION) {
      throw new HyperplugError(
        version === undefined ? 'AGENT_PROTOCOL' : 'AGENT_VERSION',
        `protocol version: expected ${PROTOCOL_VERSION}, got ${version ?? `${payload.length} bytes`}`,
        { details: { expected: PROTOCOL_VERSION, received: version } },
      );
    }
    const agent = payload.length > 4 ? this.#extension(payload.subarray(4)) : undefined;
    this.#decoder.maxMessageBytes = LIMIT.CONTROL_MESSAGE_MAX_BYTES;
    this.agreed({ nonce: this.#nonce, agent, decoder: this.#decoder });
  }

  #extension(body: Buffer): string {
    const { hyperplug, agent, nonce } = parseVersion(body, 'GETVERSION');
    if (hyperplug !== EXTENSION_VERSION) {
      throw new HyperplugError(
        'AGENT_VERSION',
        `version of the extension: expected ${EXTENSION_VERSION}, got ${hyperplug}`,
        {
          details: { expected: EXTENSION_VERSION, received: hyperplug },
        },
      );
    }
    if (nonce !== this.#nonce) throw new HyperplugError('AGENT_PROTOCOL', 'GETVERSION: the answer has another nonce');
    return guestText(agent);
  }
}
