import type { AgentConnection, GuestSession } from 'hyperplug';
import { todo } from './todo.js';

/**
 * Waits until the agent is ready, agrees on the protocol, and gives the session (every method of GuestSession). It ends
 * with TIMEOUT or ABORTED when the signal fires, AGENT_CLOSED when a channel dies, AGENT_PROTOCOL or AGENT_VERSION when
 * the guest says what it may not. The guest is hostile: bound and parse strictly all that it sends.
 */
export async function handshake(_connection: AgentConnection, _signal: AbortSignal): Promise<GuestSession> {
  return todo('the conversation with the agent in the guest');
}
