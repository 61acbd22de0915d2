import { expect } from 'chai';
import { type ContractRunner, type ContractTimeouts, failedTests, recordSuite } from '../../src/testing/index.js';

/** A defect put into a healthy fake, and the tests that must fail on it. */
export interface Defect<Parts> {
  /** What it does wrong. */
  readonly what: string;
  readonly parts: Parts;
  readonly failing: readonly string[];
}

export type DefineSuite<Parts> = (
  suite: Parts & { readonly runner: ContractRunner; readonly timeouts: Partial<ContractTimeouts> },
) => void;

/** Short, so that a defect that hangs a call is caught soon. */
const SHORT: ContractTimeouts = { callMs: 400, graceMs: 150, shortMs: 80 };
/** For what must pass, on a machine that may be busy. */
const PATIENT: ContractTimeouts = { callMs: 20_000, graceMs: 10_000, shortMs: 300 };

/** One test for each defect, and one that the healthy fake fails none of the tests named. */
export function provesItself<Parts extends object>(
  kind: string,
  define: DefineSuite<Parts>,
  healthy: Parts,
  defects: readonly Defect<Parts>[],
  least: number,
): void {
  describe(`the ${kind} suite catches seeded defects`, function () {
    this.timeout(30_000);

    it(`there are at least ${least} of them, each with a test that must fail`, () => {
      expect(defects.length).to.be.at.least(least);
      for (const { what, failing } of defects) expect(failing, what).not.to.be.empty;
    });

    it('the healthy fake fails no test at all', async () => {
      const results = await recordSuite((runner) => define({ ...healthy, runner, timeouts: PATIENT }));
      expect(results).not.to.be.empty;
      const failed = results.flatMap(({ passed, name, error }) => (passed ? [] : [`${name}: ${error}`]));
      expect(failed).to.deep.equal([]);
    });

    for (const { what, parts, failing } of defects) {
      it(`a fake that ${what}`, async () => {
        const results = await recordSuite((runner) =>
          define({ ...parts, runner: only(runner, failing), timeouts: SHORT }),
        );
        expect(results.map(({ name }) => name).sort(), 'tests that ran').to.deep.equal([...failing].sort());
        expect([...failedTests(results)].sort()).to.deep.equal([...failing].sort());
      });
    }
  });
}

function only(runner: ContractRunner, names: readonly string[]): ContractRunner {
  return { ...runner, it: (name, body) => names.includes(name) && runner.it(name, body) };
}
