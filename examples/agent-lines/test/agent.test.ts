import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { contractTests } from './contract.js';

contractTests({ describe, it, before, after, beforeEach, afterEach });
