import type { AgentCapabilities } from '../../core/agent.js';
import { CHANNEL } from './protocol.gen.js';

export const CAPABILITIES: AgentCapabilities = Object.freeze({
  channels: Object.freeze([CHANNEL.control, CHANNEL.streams]),
  terminal: true,
  files: true,
  onlineCpuMemory: true,
});
