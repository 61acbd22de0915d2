import { SECTIONS } from '../core/config/schema.js';
import type { PluginKind } from '../core/plugin.js';
import type { TestRunner } from './runners.js';

export interface PluginPackage {
  readonly kind: PluginKind;
  readonly name: string;
  readonly testRunner: TestRunner;
}

/** Versions of this package and of what it is developed with: what is made with it is pinned to the same. */
export interface Versions {
  readonly hyperplug: string;
  readonly node: string;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** The file in src that holds the service, by kind. */
const MAIN_FILES: Readonly<Record<PluginKind, string>> = {
  hypervisor: 'driver',
  network: 'backend',
  firewall: 'firewall',
  agent: 'agent',
  'address-pool': 'pool',
  state: 'store',
};

const RUNNERS: Readonly<Record<TestRunner, { readonly command: string; readonly packages: readonly string[] }>> = {
  mocha: { command: 'mocha --timeout 60000', packages: ['mocha', '@types/mocha'] },
  node: { command: 'node --test', packages: [] },
  vitest: { command: 'vitest run --testTimeout 60000 --hookTimeout 60000 --dir lib', packages: ['vitest'] },
};

export const packageName = (name: string) => `hyperplug-${name}`;

/** `tiny-vm` → `TinyVm`. */
const className = (name: string) => name.replace(/(?:^|-)([a-z0-9]?)/g, (_all, first: string) => first.toUpperCase());

export function packageJson({ name, kind, testRunner }: PluginPackage, versions: Versions): string {
  const runner = RUNNERS[testRunner];
  const dev = ['@biomejs/biome', '@types/node', 'hyperplug', 'typescript', ...runner.packages];
  const known: Readonly<Record<string, string | undefined>> = {
    ...versions.devDependencies,
    hyperplug: versions.hyperplug,
  };
  const pinned = dev.sort().map((each) => [each, known[each]]);
  const value = {
    name: packageName(name),
    version: '0.1.0',
    description: `hyperplug plugin ${name} of kind ${kind}`,
    private: true,
    type: 'module',
    engines: { node: versions.node },
    exports: { '.': { types: './lib/src/index.d.ts', default: './lib/src/index.js' } },
    files: ['lib/src', 'docs'],
    scripts: {
      build: 'tsc -p tsconfig.json',
      lint: 'biome check .',
      test: `tsc -p tsconfig.json && ${runner.command} lib/test/${kind}.test.js`,
    },
    peerDependencies: { hyperplug: versions.hyperplug },
    devDependencies: Object.fromEntries(pinned),
  };
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** The text of a template with this plugin's names in it. */
export function fillIn(template: string, { name, kind, testRunner }: PluginPackage, versions: Versions): string {
  const { section, selector } = SECTIONS[kind];
  const values: Readonly<Record<string, string>> = {
    NAME: name,
    PACKAGE: packageName(name),
    CLASS: className(name),
    KIND: kind,
    MAIN: MAIN_FILES[kind],
    SECTION: section,
    SELECTOR: selector,
    RUNNER: testRunner === 'node' ? 'node:test' : testRunner,
    HYPERPLUG: versions.hyperplug,
  };
  return template.replace(/__([A-Z]+)__/g, (all, key: string) => values[key] ?? all);
}
