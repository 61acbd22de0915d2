import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { repository, Sandbox } from '../support/sandbox.js';
import { hasUml } from '../support/uml-fixture.js';

const exec = promisify(execFile);

interface Block {
  readonly name: string;
  readonly code: string;
  readonly bridges: boolean;
  /** It runs on the hypervisor that is chosen by itself: the first of a page, and what is of QEMU alone. Others run where it is quicker. */
  readonly byDefault: boolean;
  /** What its console.log lines say that they print. */
  readonly output: readonly string[];
}

function blocks(page: string): Block[] {
  const text = readFileSync(join(repository, page), 'utf8');
  return [...text.matchAll(/^(<!-- needs: bridges -->\n)?```ts\n([\s\S]*?)^```$/gm)].map(
    ([, mark, code = ''], index) => ({
      name: `${page.replace(/\W/g, '-')}-${index + 1}`,
      code,
      bridges: mark !== undefined,
      byDefault: index === 0 || code.includes('template'),
      output: [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].flatMap(([, said = '']) => said.split(', then ')),
    }),
  );
}

const onBridges = ({ path: netns }: TestNamespace) => ({
  network: {
    backend: 'netlink',
    netlink: { netns },
    networks: {
      default: { subnets: ['10.214.1.0/24'] },
      left: { subnets: ['10.214.2.0/24'] },
      right: { subnets: ['10.214.3.0/24'] },
    },
  },
  firewall: { driver: 'iptables', iptables: { netns } },
});

/** The examples are compiled against the package's types, run, and print what they say. */
describe('the examples of docs/sdk.md and of the README', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  const all = [...blocks('docs/sdk.md'), ...blocks('README.md')];

  before(async () => {
    sandbox = await Sandbox.make();
    mkdirSync(join(sandbox.root, 'node_modules'));
    symlinkSync(repository, join(sandbox.root, 'node_modules/hyperplug'));
    symlinkSync(join(repository, 'node_modules/@types'), join(sandbox.root, 'node_modules/@types'));
    for (const { name, code } of all) writeFileSync(join(sandbox.root, `${name}.mts`), code);
  });
  after(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('are there', () => {
    expect(all.length).to.be.at.least(7);
    expect(all.flatMap(({ output }) => output).length).to.be.at.least(12);
  });

  it('compile, strictly', async () => {
    const options = {
      strict: true,
      target: 'ES2022',
      lib: ['ES2023', 'ESNext.Disposable'],
      module: 'NodeNext',
      skipLibCheck: true,
      types: ['node'],
      exactOptionalPropertyTypes: true,
    };
    writeFileSync(
      join(sandbox.root, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: options, include: ['*.mts'] }),
    );
    const tsc = join(repository, 'node_modules/typescript/bin/tsc');
    await exec(process.execPath, [tsc, '-p', sandbox.root]).catch((error: { stdout: string }) => {
      throw new Error(error.stdout);
    });
  });

  for (const { name, bridges, byDefault, output } of all) {
    it(`${name} prints what it says`, async function () {
      const reason = bridges ? TestNamespace.unavailable() : undefined;
      requireOrSkip(this, reason === undefined, reason ?? '');
      const namespace = bridges ? new TestNamespace() : undefined;
      try {
        await sandbox.configure({
          ...(namespace && onBridges(namespace)),
          ...(!byDefault && hasUml && { hypervisor: { driver: 'uml' } }),
        });
        const { stdout } = await exec(process.execPath, [join(sandbox.root, `${name}.mjs`)], {
          cwd: sandbox.root,
          timeout: 240_000,
          env: { ...process.env, HYPERPLUG_CONFIG: sandbox.configPath },
        });
        expect(stdout.trimEnd().split('\n').filter(Boolean)).to.deep.equal(output);
      } finally {
        namespace?.delete();
      }
    });
  }
});
