import { expect } from 'chai';
import { isHyperplugError } from '../../../../src/core/errors.js';
import { parsePodDocuments } from '../../../../src/core/pod/spec-documents.js';

describe('parsePodDocuments', () => {
  it('takes documents, lists, and aliases of what stands elsewhere', async () => {
    const text = 'id: a\nlabels: &l { x: y }\n---\n- { id: b, env: &e { K: v }, labels: *e }\n- { id: c }\n';
    const specs = await parsePodDocuments(text, 'pods.yaml');
    expect(specs).to.deep.equal([
      { id: 'a', labels: { x: 'y' } },
      { id: 'b', env: { K: 'v' }, labels: { K: 'v' } },
      { id: 'c' },
    ]);
  });
  for (const text of ['&a [*a]', 'id: x\ncontainers: &a [*a]', 'a: &a { b: { c: *a } }']) {
    it(`refuses an alias of what it stands in: ${JSON.stringify(text)}`, async () => {
      const error = await parsePodDocuments(text, 'pods.yaml').catch((reason: unknown) => reason);
      expect(isHyperplugError(error) && error.code).to.equal('POD_SPEC_INVALID');
      expect((error as Error).message).to.match(/^pods\.yaml:\d+: .*alias/);
    });
  }
});
