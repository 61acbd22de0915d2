import { type AgentConnection, abortError, type CallOptions, type GuestAgent, type GuestSession } from 'hyperplug';
import { capabilities } from './capabilities.js';
import { handshake } from './session.js';

/** The host's end. Whatever comes of connect(), the channels are the session's, or destroyed. */
export class __CLASS__Agent implements GuestAgent {
  readonly name = '__NAME__';
  readonly capabilities = capabilities;

  async connect(connection: AgentConnection, { signal }: CallOptions): Promise<GuestSession> {
    const { channels } = connection;
    const destroy = () => {
      for (const channel of channels) channel.destroy();
    };
    for (const channel of channels) channel.on('error', () => {});
    try {
      if (signal.aborted) throw abortError(signal, 'connecting to the agent');
      return await handshake(connection, signal);
    } catch (error) {
      destroy();
      throw error;
    }
  }
}
