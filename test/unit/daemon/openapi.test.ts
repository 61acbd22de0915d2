import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { openApiDocument } from '../../../src/daemon/openapi.js';
import { operations } from '../../../src/daemon/operations/index.js';
import { ROOT } from '../../support/docs.js';

const FILE = join(ROOT, 'docs', 'reference', 'api', 'openapi.json');
const PAGE = join(ROOT, 'docs', 'reference', 'api', 'README.md');

type Json = Record<string, unknown>;

/** `UPDATE_DOCS=1 npx mocha dist/test/unit/daemon/openapi.test.js` writes the files instead of comparing them. */
const update = process.env.UPDATE_DOCS === '1';

describe('docs/reference/api', () => {
  const version = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;
  const document = openApiDocument(operations, version) as Json & { paths: Record<string, Record<string, Json>> };

  it('openapi.json is what the daemon serves (UPDATE_DOCS=1 brings it up to date)', () => {
    const text = `${JSON.stringify(document, null, 2)}\n`;
    if (update) writeFileSync(FILE, text);
    expect(readFileSync(FILE, 'utf8')).to.equal(text);
  });

  it('README.md lists every operation (UPDATE_DOCS=1 brings it up to date)', () => {
    const text = page();
    if (update) writeFileSync(PAGE, text);
    expect(readFileSync(PAGE, 'utf8')).to.equal(text);
  });

  it('every reference leads to a component, every operation has a name of its own and its parameters', () => {
    const text = JSON.stringify(document);
    const components = document.components as { schemas: Json; responses: Json };
    for (const [, group, name] of text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g)) {
      expect(components[group as 'schemas']?.[name as string], `${group}/${name}`).to.not.equal(undefined);
    }
    expect(text).to.not.include('$defs');
    expect(text).to.not.include('__schema');
    const ids = operations.map(({ id }) => id);
    expect(new Set(ids).size).to.equal(ids.length);
    for (const { path, method } of operations) {
      const found = document.paths[path]?.[method.toLowerCase()] as { parameters?: { name: string; in: string }[] };
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const given = (found.parameters ?? []).filter((each) => each.in === 'path').map(({ name }) => name);
      expect(given.sort(), `${method} ${path}`).to.deep.equal(named.sort());
    }
  });
});

function page(): string {
  const rows = operations.map(({ method, path, summary, stream }) => {
    return `| \`${method}\` | \`${path}\` | ${summary}${stream ? ' (stream)' : ''} |`;
  });
  return [
    '# The API of the daemon',
    '',
    'HTTP and JSON on a unix socket. [`openapi.json`](openapi.json) has every field; the daemon serves the same at `/openapi.json`,',
    'and checks requests by the schemas that it is made of. How to use it: [daemon.md](../../daemon.md).',
    '',
    '| | Path | |',
    '|---|---|---|',
    ...rows,
    '',
    '`POST /v1/pods/{id}/exec` with `Upgrade: hyperplug-exec/1` becomes a stream of frames: see [daemon.md](../../daemon.md#commands).',
    '',
  ].join('\n');
}
