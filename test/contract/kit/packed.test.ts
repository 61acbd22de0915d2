import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../support/docs.js';
import { packedFiles, packedInstall, ran, runs } from '../../support/packed.js';

/** What may be in the package, and must be: folder or file → why. */
const PARTS: readonly RegExp[] = [
  /^(?:package\.json|README\.md|SECURITY\.md|LICENSE|hyperplug)$/,
  /^dist\/bundle\/cli\/[^/]+\.c?js(?:\.map)?$/,
  // Its first file is CommonJS, which Node knows by this.
  /^dist\/bundle\/cli\/package\.json$/,
  /^dist\/(?:src|guest)\/.*\.(?:js|js\.map|d\.ts)$/,
  /^guest\//,
  /^launcher\/[^/]+\.(?:c|h|md)$/,
  /^docs\/.*\.(?:md|json)$/,
  /^templates\//,
  /^contrib\//,
];

describe('the packed package', function () {
  this.timeout(180_000);
  let folder: string;
  let files: string[];
  before(async () => {
    folder = join(await packedInstall(), 'node_modules', 'hyperplug');
    files = await packedFiles();
  });

  it('holds types, testing, every built-in plugin, templates, guest sources and docs', () => {
    const plugins = readdirSync(join(ROOT, 'src', 'plugins'));
    const wanted = [
      'dist/bundle/cli/main.js',
      ...['index', 'testing/index', ...plugins.map((name) => `plugins/${name}/index`)].flatMap((path) => [
        `dist/src/${path}.js`,
        `dist/src/${path}.d.ts`,
      ]),
      ...['hypervisor', 'network', 'firewall', 'agent', 'address-pool', 'state'].flatMap((kind) => [
        `templates/${kind}/src/index.ts`,
        `templates/${kind}/test/contract.ts`,
        `templates/${kind}/todo.md`,
      ]),
      ...['common/gitignore', 'common/tsconfig.json', 'common/README.md'].map((path) => `templates/${path}`),
      ...[
        'guest/agent/main.c',
        'guest/agent/Makefile',
        'guest/protocol/protocol.json',
        'launcher/main.c',
        'docs/plugins.md',
      ],
    ];
    expect(wanted.filter((path) => !files.includes(path))).to.deep.equal([]);
  });

  it('holds nothing else: no tests, no TypeScript of ours, no examples, nothing of this machine', () => {
    expect(files.filter((path) => !PARTS.some((part) => part.test(path)))).to.deep.equal([]);
    expect(
      files.filter(
        (path) => /(^|\/)(?:test|bench|node_modules|\.cache|\.git)\//.test(path) && !/^templates\//.test(path),
      ),
    ).to.deep.equal([]);
    expect(files.filter((path) => path.startsWith('src/'))).to.deep.equal([]);
  });

  it('every file that package.json exports or runs is there', () => {
    const { exports, bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
      exports: Record<string, string | Record<string, string>>;
      bin: Record<string, string>;
    };
    const targets = [
      ...Object.values(exports).flatMap((each) => (typeof each === 'string' ? [each] : Object.values(each))),
      ...Object.values(bin),
    ];
    for (const target of targets.filter((path) => !path.includes('*')))
      expect(existsSync(join(folder, target)), target).to.equal(true);
  });

  it('compiles for who uses it: types of hyperplug, hyperplug/testing and a plugin', async () => {
    const root = await packedInstall();
    mkdirSync(join(root, 'types'), { recursive: true });
    const source = [
      "import { createHyperplug, definePlugin, type HypervisorDriver } from 'hyperplug';",
      "import { hypervisorContract, FakeHypervisor } from 'hyperplug/testing';",
      "import qemu from 'hyperplug/plugins/qemu';",
      'export const driver: HypervisorDriver = new FakeHypervisor();',
      'export const all = [createHyperplug, definePlugin, hypervisorContract, qemu.name.length] as const;',
      '// @ts-expect-error: a driver has a name',
      'export const wrong: HypervisorDriver = {};',
    ];
    writeFileSync(join(root, 'types', 'use.ts'), source.join('\n'));
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'NodeNext',
      '--target',
      'ES2023',
      '--types',
      'node',
      '--lib',
      'ES2023,ESNext.Disposable',
    ];
    await runs(
      process.execPath,
      [join(ROOT, 'node_modules/typescript/bin/tsc'), ...flags, join(root, 'types', 'use.ts')],
      { cwd: join(root, 'types') },
    );
  });

  for (const name of ['hyperplug', 'hyperplug/testing']) {
    it(`import '${name}' starts nothing: no process, no handle, no file, no output, and the program ends by itself`, async () => {
      const root = await packedInstall();
      const script = `
        import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
        const target = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd).replace(/[0-9]+/g, ''); } catch { return ''; } };
        const fds = () => readdirSync('/proc/self/fd').map(target).filter((to) => !/^(?:|anon_inode:.*|pipe:.*|.proc.*|.dev.null)$/.test(to)).sort();
        const handles = () => process.getActiveResourcesInfo().filter((each) => !/^(?:TTYWrap|PipeWrap|FSReqPromise|CloseReq|TickObject|Immediate)$/.test(each));
        const listeners = () => process.eventNames().reduce((sum, each) => sum + process.listenerCount(each), 0);
        const [open, listening] = [fds(), listeners()];
        const before = readdirSync('.').join();
        await import(${JSON.stringify(name)});
        await new Promise((resolve) => setTimeout(resolve, 50));
        const children = readdirSync('/proc/self/task').flatMap((id) => readFileSync(\`/proc/self/task/\${id}/children\`, 'utf8').split(' ').filter(Boolean));
        process.stdout.write(JSON.stringify({ handles: handles(), opened: fds().filter((to) => !open.includes(to)), listeners: listeners() - listening, children, same: readdirSync('.').join() === before }));
      `;
      const { code, stdout, stderr } = await ran(process.execPath, ['--input-type=module', '-e', script], {
        cwd: root,
        timeout: 30_000,
      });
      expect([code, stderr]).to.deep.equal([0, '']);
      expect(JSON.parse(stdout)).to.deep.equal({ handles: [], opened: [], listeners: 0, children: [], same: true });
    });
  }
});
