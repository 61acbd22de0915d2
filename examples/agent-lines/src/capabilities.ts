import { type AgentCapabilities, deepFreeze } from 'hyperplug';

export const capabilities: AgentCapabilities = deepFreeze({
  channels: ['lines.control'],
  terminal: false,
  files: true,
  onlineCpuMemory: false,
});
