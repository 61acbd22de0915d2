import type { ContractRunner, TestBody } from './runner.js';

export interface TestResult {
  /** Titles of the enclosing describes, outermost first. */
  readonly path: readonly string[];
  readonly name: string;
  readonly passed: boolean;
  /** What failed it: the body, else the hook. */
  readonly error?: unknown;
}

export interface RecordOptions {
  /** Of each test and each hook; one that takes longer fails. Default 20 000. */
  readonly timeoutMs?: number;
}

interface Block {
  readonly path: readonly string[];
  readonly before: TestBody[];
  readonly after: TestBody[];
  readonly beforeEach: TestBody[];
  readonly afterEach: TestBody[];
  readonly entries: (Block | { readonly name: string; readonly body: TestBody })[];
}

/**
 * Runs a suite by itself, outside any test runner, and tells what each test came to. This is how a suite is shown to
 * catch the defects it must catch. Order and hooks are mocha's; a failed `before` fails every test below it, a failed
 * `afterEach` the test it followed, a failed `after` the last test of its block.
 */
export async function recordSuite(
  define: (runner: ContractRunner) => void,
  options: RecordOptions = {},
): Promise<readonly TestResult[]> {
  const root = newBlock([]);
  let current = root;
  define({
    describe(name, body) {
      const outer = current;
      const block = newBlock([...outer.path, name]);
      outer.entries.push(block);
      current = block;
      try {
        body();
      } finally {
        current = outer;
      }
    },
    it: (name, body) => current.entries.push({ name, body }),
    before: (body) => current.before.push(body),
    after: (body) => current.after.push(body),
    beforeEach: (body) => current.beforeEach.push(body),
    afterEach: (body) => current.afterEach.push(body),
  });
  const results: TestResult[] = [];
  await runBlock(root, [], options.timeoutMs ?? 20_000, results);
  return results;
}

/** Names of the tests that failed, in order. */
export function failedTests(results: readonly TestResult[]): readonly string[] {
  return results.filter((result) => !result.passed).map((result) => result.name);
}

const newBlock = (path: readonly string[]): Block => ({
  path,
  before: [],
  after: [],
  beforeEach: [],
  afterEach: [],
  entries: [],
});

async function runBlock(block: Block, outer: readonly Block[], timeoutMs: number, results: TestResult[]) {
  const blocks = [...outer, block];
  const first = results.length;
  const broken = await firstError(block.before, timeoutMs);
  for (const entry of block.entries) {
    if ('entries' in entry) {
      if (broken) failAll(entry, broken.error, results);
      else await runBlock(entry, blocks, timeoutMs, results);
      continue;
    }
    const failure = broken ?? (await runTest(entry.body, blocks, timeoutMs));
    results.push({ path: block.path, name: entry.name, passed: !failure, ...(failure ?? {}) });
  }
  const failure = await allErrors(block.after, timeoutMs);
  const last = results.at(-1);
  if (failure && last && results.length > first && last.passed) {
    results[results.length - 1] = { ...last, passed: false, ...failure };
  }
}

function failAll(block: Block, error: unknown, results: TestResult[]) {
  for (const entry of block.entries) {
    if ('entries' in entry) failAll(entry, error, results);
    else results.push({ path: block.path, name: entry.name, passed: false, error });
  }
}

interface Failure {
  readonly error: unknown;
}

async function runTest(body: TestBody, blocks: readonly Block[], timeoutMs: number): Promise<Failure | undefined> {
  const before = blocks.flatMap((block) => block.beforeEach);
  const after = blocks.toReversed().flatMap((block) => block.afterEach);
  const failure = await firstError([...before, body], timeoutMs);
  const afterFailure = await allErrors(after, timeoutMs);
  return failure ?? afterFailure;
}

async function firstError(bodies: readonly TestBody[], timeoutMs: number): Promise<Failure | undefined> {
  for (const body of bodies) {
    const failure = await attempt(body, timeoutMs);
    if (failure) return failure;
  }
  return undefined;
}

async function allErrors(bodies: readonly TestBody[], timeoutMs: number): Promise<Failure | undefined> {
  let first: Failure | undefined;
  for (const body of bodies) {
    const failure = await attempt(body, timeoutMs);
    first ??= failure;
  }
  return first;
}

async function attempt(body: TestBody, timeoutMs: number): Promise<Failure | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    await Promise.race([Promise.resolve().then(body), deadline]);
    return undefined;
  } catch (error) {
    return { error };
  } finally {
    clearTimeout(timer);
  }
}
