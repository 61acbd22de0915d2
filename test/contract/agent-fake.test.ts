import { fakeAgentContract } from './fake-agent.js';

const runner = { describe, it, before, after, beforeEach, afterEach };

fakeAgentContract({ runner });

fakeAgentContract({
  runner,
  label: 'fake that declares the least',
  capabilities: { terminal: false, files: false, onlineCpuMemory: false },
});
