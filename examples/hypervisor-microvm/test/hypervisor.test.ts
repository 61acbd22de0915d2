import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import { contractTests } from './contract.js';

contractTests({ describe, it, before, after, beforeEach, afterEach });
