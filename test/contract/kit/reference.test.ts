import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { PLUGIN_KINDS, type PluginKind } from '../../../src/core/plugin.js';
import { ROOT } from '../../support/docs.js';
import { DEFECTS, membersOf, testsOf, titlesOf } from '../../support/reference.js';
import { ELSEWHERE, PAGES, referencePage } from '../../support/reference-pages.js';

const update = process.env.UPDATE_DOCS === '1';

const LEAST: Readonly<Record<PluginKind, number>> = {
  hypervisor: 25,
  network: 25,
  firewall: 15,
  agent: 15,
  'address-pool': 10,
  state: 10,
};

describe('docs/reference', () => {
  for (const kind of PLUGIN_KINDS) {
    const path = join(ROOT, 'docs', 'reference', `${kind}.md`);
    const { file, interfaces, define, groups } = PAGES[kind];

    it(`${kind}.md holds what contract, suite and seeded defects say (npm run docs brings it up to date)`, () => {
      const text = referencePage(kind);
      if (update) writeFileSync(path, text);
      expect(readFileSync(path, 'utf8')).to.equal(text);
    });

    it(`${kind}: at least ${LEAST[kind]} defects, each caught by tests that there are`, () => {
      const titles = new Set(titlesOf(define).map(({ title }) => title));
      expect(DEFECTS[kind].length).to.be.at.least(LEAST[kind]);
      for (const { what, failing } of DEFECTS[kind]) {
        expect(failing, what).to.not.be.empty;
        const unknown = failing.filter((title) => !titles.has(title));
        expect(unknown, what).to.deep.equal([]);
      }
    });

    it(`${kind}: every method is checked by a test, or the page says why not`, () => {
      const titles = titlesOf(define);
      const members = interfaces.flatMap((name) => membersOf(file, name).members);
      expect(members.length).to.be.above(4);
      const unchecked = members.filter(
        ({ name, signature }) =>
          /^\w+\??\(/.test(signature) && !ELSEWHERE[name] && testsOf(name, titles, groups).length === 0,
      );
      expect(unchecked.map(({ name }) => name)).to.deep.equal([]);
    });
  }
});
