import { expect } from 'chai';
import { catalogue } from '../../../bench/harness/catalogue.js';
import { page, readPage, readPageResult, writeDocs } from '../../../bench/harness/docs.js';

const update = process.env.UPDATE_DOCS === '1';

describe('docs/benchmarks.md', () => {
  it('is what its result and the scenarios there are make of it (UPDATE_DOCS=1 brings it up to date)', async () => {
    const scenarios = await catalogue();
    if (update) writeDocs(readPageResult(), scenarios);
    expect(readPage()).to.equal(page(readPageResult(), scenarios));
  });

  it('has a section for each scenario', async () => {
    const headings = [...readPage().matchAll(/^## (.+)$/gm)].map(([, name]) => name);
    expect(headings).to.deep.equal([...(await catalogue()).keys()]);
  });
});
