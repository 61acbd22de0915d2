import { execFileSync } from 'node:child_process';
import { expect } from 'chai';

/** In a process of its own: this one has loaded what other tests need. */
function loadedBy(module: string): string[] {
  const url = new URL(module, import.meta.url).href;
  const script = `await import(${JSON.stringify(url)});
    const { Module } = await import('node:module');
    console.log(JSON.stringify(Object.keys(Module._cache)));`;
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const packages = (JSON.parse(text) as string[]).flatMap((path) => /node_modules\/([^/]+)/.exec(path)?.[1] ?? []);
  return [...new Set(packages)].sort();
}

describe('the start of a command', () => {
  it('loads neither the daemon nor native code to learn where a daemon would listen, and which plugins there are', () => {
    const heavy = loadedBy('../../src/hyperplug.js').filter((name) => /^(fastify|ajv|koffi|lmdb|ip-num)$/.test(name));
    expect(heavy).to.deep.equal([]);
  });
});
