/** Test runners that a plugin's package can be made for; `node` is node:test. */
export const TEST_RUNNERS = ['mocha', 'node', 'vitest'] as const;
export type TestRunner = (typeof TEST_RUNNERS)[number];
