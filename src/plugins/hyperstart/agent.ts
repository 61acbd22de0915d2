import { randomInt } from 'node:crypto';
import type { AgentConnection, GuestAgent, GuestSession } from '../../core/agent.js';
import type { CallOptions } from '../../core/calls.js';
import { CAPABILITIES } from './capabilities.js';
import { ChannelWriter, ControlOutbox } from './channel-writer.js';
import { CreditStreams } from './credit-streams.js';
import type { Dialect, DialectEvents } from './dialect.js';
import { ExtensionDialect, encodeCredit } from './extension-dialect.js';
import { type Agreement, shakeHands } from './handshake.js';
import { Link } from './link.js';
import type { SendJson } from './network-commands.js';
import { ExtensionNetwork } from './network-extension.js';
import { OriginalNetwork } from './network-original.js';
import type { HyperstartOptions } from './options.js';
import { OriginalDialect } from './original-dialect.js';
import { PacedStreams } from './paced-streams.js';
import { OriginalPod } from './pod-commands.js';
import { ExtensionPod } from './pod-extension.js';
import { ProcessTable } from './process-table.js';
import { COMMAND, LIMIT, PROTOCOL_VERSION } from './protocol.gen.js';
import { HyperstartSession } from './session.js';
import type { Streams } from './streams.js';

/** Smallest window that the handshake fits in, with room for progress. */
const MIN_WINDOW_BYTES = 128;

export class HyperstartAgent implements GuestAgent {
  readonly name = 'hyperstart';
  readonly capabilities = CAPABILITIES;

  constructor(readonly options: HyperstartOptions) {}

  async connect(connection: AgentConnection, options: CallOptions): Promise<GuestSession> {
    const [control, streams, ...more] = connection.channels;
    if (!control || !streams || more.length > 0) {
      for (const channel of connection.channels) channel.destroy();
      throw new TypeError(`channels: expected control and streams, got ${connection.channels.length} channels`);
    }
    const windowBytes = connection.creditWindowBytes ?? undefined;
    if (windowBytes !== undefined && windowBytes < MIN_WINDOW_BYTES) {
      for (const channel of connection.channels) channel.destroy();
      throw new TypeError(`creditWindowBytes: expected at least ${MIN_WINDOW_BYTES}, got ${windowBytes}`);
    }
    const link = new Link(control, streams);
    return shakeHands(
      link,
      { resumed: connection.resumed, windowBytes },
      (agreement) => this.#begin(link, agreement, { windowBytes, resumed: connection.resumed }),
      options,
    );
  }

  #begin(
    link: Link,
    agreement: Agreement,
    { windowBytes, resumed }: { windowBytes: number | undefined; resumed: boolean },
  ): GuestSession {
    const original = agreement.agent === undefined;
    const control = new ChannelWriter(
      link.control,
      original ? Math.min(LIMIT.BASE_CHUNK_BYTES, windowBytes ?? Number.POSITIVE_INFINITY) : windowBytes,
    );
    const outbox = new ControlOutbox(control, encodeCredit);
    const events: DialectEvents = {
      processEvent(payload) {
        processes.event(payload);
        if (pod instanceof ExtensionPod) pod.event(payload);
      },
      credit: (sequence, bytes) => channelStreams.grant(sequence, bytes),
      ended: (error) => link.fail(error, error.message),
      streamsRead: (bytes) => channelStreams.read(bytes),
    };
    const dialect: Dialect = original ? new OriginalDialect(outbox, events) : new ExtensionDialect(outbox, events);
    const writer = new ChannelWriter(link.streams, windowBytes);
    const forever = new AbortController().signal;
    const channelStreams: Streams = original
      ? new PacedStreams(writer, () =>
          dialect.call({ code: COMMAND.PING, what: 'stdin', payload: [] }, { signal: forever }),
        )
      : new CreditStreams(writer, agreement.nonce, (sequence, bytes) => outbox.grant(sequence, bytes));
    const processes = new ProcessTable(channelStreams, {
      stderrEnds: !original,
      idPrefix: agreement.nonce,
      // An earlier session's processes may still write to the sequences they were given.
      firstSequence: resumed ? randomInt(1, 2 ** 24) * 2 ** 20 : 1,
    });
    link.onClosed = (error) => {
      dialect.fail(error);
      processes.fail(error);
      channelStreams.destroy(error);
    };
    agreement.decoder.sink = (code, payload) => dialect.receive(code, payload);
    link.receive(link.streams, (chunk) => channelStreams.push(chunk));
    const send: SendJson = (code, what, body, call) =>
      dialect.call({ code, what, payload: [Buffer.from(JSON.stringify(body))] }, call);
    const parse = <T>(parser: () => T): T => {
      try {
        return parser();
      } catch (error) {
        link.misconduct(error);
        throw error;
      }
    };
    const pod = original ? new OriginalPod() : new ExtensionPod(dialect, parse);
    return new HyperstartSession({
      link,
      dialect,
      processes,
      network: original ? new OriginalNetwork(send) : new ExtensionNetwork(send, parse, this.options.nicTimeoutMs),
      pod,
      features: {
        nicByMac: !original,
        readNetwork: !original,
        errorTexts: !original,
        streamCredit: !original,
        ipv6: !original,
        containers: !original,
        volumes: !original,
        renewal: !original,
        stats: !original,
      },
      description: original
        ? `hyperstart ${PROTOCOL_VERSION}`
        : `hyperstart ${PROTOCOL_VERSION} + hyperplug 1 (agent ${agreement.agent})`,
      original,
    });
  }
}
