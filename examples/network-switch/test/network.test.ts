import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest';
import { contractTests } from './contract.js';

contractTests({ describe, it, before: beforeAll, after: afterAll, beforeEach, afterEach });
