import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { catalogue } from '../../../bench/harness/catalogue.js';
import { obstacle } from '../../../bench/harness/place.js';
import type { Scenario } from '../../../bench/harness/scenario.js';
import { repositoryRoot } from '../../support/repository.js';

describe('the scenarios of bench/', () => {
  let scenarios: ReadonlyMap<string, Scenario>;
  before(async () => {
    scenarios = await catalogue();
  });

  it('are its files, each listed', () => {
    const files = readdirSync(join(repositoryRoot, 'bench')).filter((name) => name.endsWith('.ts'));
    expect([...scenarios.keys()]).to.have.members(files.map((name) => name.slice(0, -3)));
  });

  it('each say in one line what they show, and end', () => {
    for (const [name, { shows, timeoutMs }] of scenarios) {
      expect(shows, name).to.match(/^[^\n]{20,}\.$/);
      expect(timeoutMs, name).to.be.within(1_000, 3_600_000);
    }
  });

  it('are skipped, in words, where what they need is missing', () => {
    const scenario = { shows: '', place: 'host', timeoutMs: 1, async *comparisons() {} } satisfies Scenario;
    expect(obstacle(scenario)).to.equal(undefined);
    expect(obstacle({ ...scenario, programs: ['sh', 'no-such-program'] })).to.equal('not installed: no-such-program');
  });
});
