import {
  type AgentConnection,
  abortError,
  type CallOptions,
  type GuestAgent,
  type GuestSession,
  HyperplugError,
} from 'hyperplug';
import { capabilities } from './capabilities.js';
import { Conversation } from './conversation.js';
import { LinesSession } from './session.js';

/** The host's end. Whatever comes of connect(), the channels are the session's, or destroyed. */
export class LinesAgent implements GuestAgent {
  readonly name = 'lines';
  readonly capabilities = capabilities;

  constructor(readonly options: { readonly nicTimeoutMs: number }) {}

  async connect(connection: AgentConnection, options: CallOptions): Promise<GuestSession> {
    const [channel] = connection.channels;
    if (!channel || connection.channels.length > 1) throw new TypeError('channels: expected one');
    channel.on('error', () => {});
    try {
      if (options.signal.aborted) throw abortError(options.signal, 'connecting to the agent');
      if (connection.creditWindowBytes !== null) {
        throw new HyperplugError('NOT_SUPPORTED', 'agent lines needs a channel that does not stall');
      }
      const conversation = new Conversation(channel, connection.resumed);
      await conversation.hello(options);
      return new LinesSession(conversation, this.options.nicTimeoutMs);
    } catch (error) {
      channel.destroy();
      throw error;
    }
  }
}
