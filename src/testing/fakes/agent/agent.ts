import type { AgentCapabilities, AgentConnection, GuestAgent, GuestSession } from '../../../core/agent.js';
import { abortError, type CallOptions, raceSignal } from '../../../core/calls.js';
import { fieldError } from '../../../core/errors.js';
import { deepFreeze } from '../../../core/json.js';
import { FAKE_CHANNEL } from './frames.js';
import { FakeSession } from './session.js';

export const FAKE_AGENT_CAPABILITIES: AgentCapabilities = deepFreeze({
  channels: [FAKE_CHANNEL],
  terminal: true,
  files: true,
  onlineCpuMemory: true,
});

export interface FakeAgentOptions {
  readonly name?: string;
  /** In place of some of FAKE_AGENT_CAPABILITIES. */
  readonly capabilities?: Partial<Omit<AgentCapabilities, 'channels'>>;
}

/** The host's end of the conversation with a FakeGuest: real bytes over a real stream, with credit and strict parsing. */
export class FakeAgent implements GuestAgent {
  readonly name: string;
  readonly capabilities: AgentCapabilities;

  constructor(options: FakeAgentOptions = {}) {
    this.name = options.name ?? 'fake';
    this.capabilities = deepFreeze({ ...FAKE_AGENT_CAPABILITIES, ...options.capabilities });
  }

  async connect({ channels }: AgentConnection, { signal }: CallOptions): Promise<GuestSession> {
    const [channel] = channels;
    if (!channel || channels.length !== 1) {
      for (const each of channels) each.destroy();
      throw fieldError('AGENT_PROTOCOL', 'channels', 'one channel', channels.length);
    }
    if (signal.aborted) {
      channel.destroy();
      throw abortError(signal, 'connect');
    }
    const session = this.session(channel);
    try {
      await raceSignal(session.greeted, signal, 'connect');
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  protected session(channel: AgentConnection['channels'][number]): FakeSession {
    return new FakeSession(this, channel);
  }
}
