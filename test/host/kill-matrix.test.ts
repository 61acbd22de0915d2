import { expect } from 'chai';
import { type Case, KillMatrix } from '../support/kill-matrix/matrix.js';
import { OPERATIONS } from '../support/kill-matrix/operations.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

/** How many namespaces with a state of their own work at once. */
const LANES = 2;

/** Every so many steps, beginning with another one in each run; `npm run bench -- kill-matrix all` does each of them. */
const MANAGER_STRIDE = 6;
const VM_STRIDE = 18;

describe('the kill matrix', function () {
  this.timeout(900_000);
  const lanes: KillMatrix[] = [];
  const steps = new Map<string, readonly string[]>();

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    for (let lane = 0; lane < LANES; lane++) lanes.push(new KillMatrix());
  });

  after(async () => {
    const left = await Promise.all(lanes.map((lane) => lane.dispose()));
    expect(left.flat()).to.deep.equal([]);
  });

  /** Each lane takes the next case; the first few failures are told. */
  async function all(cases: Case[]): Promise<void> {
    const failures: string[] = [];
    await Promise.all(
      lanes.map(async (lane) => {
        for (let next = cases.shift(); next && failures.length < 5; next = cases.shift()) {
          await lane.run(next).catch((error: Error) => failures.push(error.message.slice(0, 2_000)));
        }
      }),
    );
    expect(failures).to.deep.equal([]);
  }

  it('has at least 60 steps, each found by doing every operation once', async () => {
    const names = Object.keys(OPERATIONS);
    await Promise.all(
      lanes.map(async (lane) => {
        for (let name = names.shift(); name !== undefined; name = names.shift()) {
          steps.set(name, await lane.count(name));
        }
      }),
    );
    const total = [...steps.values()].reduce((sum, each) => sum + each.length, 0);
    expect(total).to.be.at.least(60);
  });

  function some(operation: string, victim: Case['victim'], stride: number): Case[] {
    const points = (steps.get(operation) ?? []).map((_, index) => index + 1);
    const first = Math.floor(Math.random() * stride);
    return points.filter((at) => at % stride === first).map((at) => ({ operation, at, victim }));
  }

  it('a manager that is killed at any step leaves nothing that one gc does not put right, and the call can be made again', async () => {
    const cases = Object.keys(OPERATIONS).flatMap((operation) => some(operation, 'manager', MANAGER_STRIDE));
    expect(cases).to.not.be.empty;
    await all(cases);
  });

  it('a VM that is killed at a step of a call fails the call or not, and leaves nothing either', async () => {
    const cases = Object.keys(OPERATIONS)
      .filter((operation) => operation !== 'net init')
      .flatMap((operation) => some(operation, 'vm', VM_STRIDE));
    await all(cases);
  });
});
