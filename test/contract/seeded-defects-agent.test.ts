import { provesItself } from '../support/seeded-defects.js';
import { AGENT_DEFECTS } from './defects/agent.js';
import { fakeAgentContract } from './fake-agent.js';

provesItself('agent', fakeAgentContract, {}, AGENT_DEFECTS, 15);
