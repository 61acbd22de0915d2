import { type AgentCapabilities, deepFreeze } from 'hyperplug';

/** What is declared must work and is tested; what is not must be refused with NOT_SUPPORTED, and that is tested, too. */
export const capabilities: AgentCapabilities = deepFreeze({
  channels: ['__NAME__.control'],
  terminal: false,
  files: false,
  onlineCpuMemory: false,
});
