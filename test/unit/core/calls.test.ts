import { expect } from 'chai';
import { abortError, raceSignal, withDeadline } from '../../../src/core/calls.js';
import { concurrently } from '../../../src/core/concurrently.js';
import { HyperplugError, hasCode } from '../../../src/core/errors.js';

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('expected a rejection');
}

describe('calls', () => {
  it('withDeadline passes TIMEOUT with what was waited for and how long', async () => {
    const error = await rejection(withDeadline('greeting', 10, undefined, ({ signal }) => untilAborted(signal)));
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
    expect((error as HyperplugError).details).to.deep.equal({ what: 'greeting', timeoutMs: 10 });
  });

  it("withDeadline passes the caller's abort as ABORTED with its reason as cause", async () => {
    const controller = new AbortController();
    const waiting = withDeadline('greeting', 60_000, controller.signal, ({ signal }) => untilAborted(signal));
    controller.abort('enough');
    const error = await rejection(waiting);
    expect(hasCode(error, 'ABORTED')).to.equal(true);
    expect((error as HyperplugError).cause).to.equal('enough');
  });

  it('withDeadline gives an aborted signal to a body that starts after the abort', async () => {
    const seen = await withDeadline('x', 60_000, AbortSignal.abort(), async ({ signal }) => signal.aborted);
    expect(seen).to.equal(true);
  });

  it('abortError keeps a HyperplugError and reads AbortSignal.timeout as TIMEOUT', async () => {
    const reason = new HyperplugError('POD_BUSY', 'x');
    expect(abortError(AbortSignal.abort(reason), 'y')).to.equal(reason);
    const signal = AbortSignal.timeout(1);
    await rejection(untilAborted(signal));
    expect(abortError(signal, 'y').code).to.equal('TIMEOUT');
  });

  it('raceSignal ends with the signal and swallows the late rejection', async () => {
    const controller = new AbortController();
    let fail: (error: Error) => void = () => {};
    const late = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const waiting = raceSignal(late, controller.signal, 'late');
    controller.abort();
    expect(hasCode(await rejection(waiting), 'ABORTED')).to.equal(true);
    fail(new Error('late'));
    await new Promise((resolve) => setImmediate(resolve));
  });

  it('concurrently aborts the rest on the first failure, waits for them and throws that failure', async () => {
    const settled: string[] = [];
    const tasks = [
      ({ signal }: { signal: AbortSignal }) => untilAborted(signal).finally(() => settled.push('waiter')),
      async () => {
        throw new Error('first');
      },
    ];
    const error = await rejection(concurrently(tasks, { signal: new AbortController().signal }));
    expect(String(error)).to.equal('Error: first');
    expect(settled).to.deep.equal(['waiter']);
  });

  it('concurrently gives results in the order of the tasks', async () => {
    const tasks = [3, 1, 2].map((n) => () => new Promise<number>((resolve) => setTimeout(resolve, n, n)));
    expect(await concurrently(tasks, { signal: new AbortController().signal })).to.deep.equal([3, 1, 2]);
  });
});
