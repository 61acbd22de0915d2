import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { runInThisContext } from 'node:vm';
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

  it('loads the program of no driver but its own', () => {
    const bundle = new URL('../../bundle/cli/', import.meta.url);
    const [qemu, uml] = ['qemu', 'uml'].map((driver) => {
      const name = readdirSync(bundle).find((each) => each.startsWith(`${driver}-`) && each.endsWith('.cjs'));
      return runInThisContext(readFileSync(new URL(name ?? driver, bundle), 'latin1')) as Record<string, () => void>;
    }) as [Record<string, () => void>, Record<string, () => void>];
    const needs = (parts: typeof qemu) =>
      Object.values(parts).flatMap((part) =>
        [...String(part).matchAll(/require\("\.\/([^"]+)"\)/g)].map(([, name]) => name),
      );
    expect(needs(uml)).to.not.deep.equal([]);
    expect(needs(uml).filter((name) => name! in qemu)).to.deep.equal([]);
    expect(needs(qemu).filter((name) => name! in uml)).to.deep.equal([]);
  });
});
