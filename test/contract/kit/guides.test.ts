import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { ROOT } from '../../support/docs.js';
import { completeGuide, readGuide, stepsOf, writeGuide } from '../../support/guide.js';
import { packedCli, packedInstall, ran } from '../../support/packed.js';
import { hasQemu } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';

const update = process.env.UPDATE_DOCS === '1';
const GUIDES = [
  { guide: 'write-a-hypervisor-driver.md', example: 'hypervisor-microvm', needs: () => hasQemu, what: 'QEMU' },
  {
    guide: 'write-a-network-backend.md',
    example: 'network-switch',
    needs: () => has('flock', '--version'),
    what: 'flock',
  },
  {
    guide: 'write-an-agent.md',
    example: 'agent-lines',
    needs: () =>
      has('unshare', '--map-root-user', '--net', 'ip', 'link') && has('make', '--version') && has('cc', '--version'),
    what: 'user namespaces, make and a C compiler',
  },
] as const;

/** Of the skeleton, and no part of an example: its own lint is the repository's, and so are its docs. */
const SKELETON_ONLY = /^(?:biome\.jsonc|README\.md|docs\/.*)$/;

for (const { guide, example, needs, what } of GUIDES) {
  describe(`docs/guide/${guide}`, function () {
    this.timeout(300_000);

    it('holds the files of its example (npm run docs brings it up to date)', () => {
      const text = completeGuide(guide, example);
      if (update) writeGuide(guide, text);
      expect(readGuide(guide)).to.equal(text);
    });

    it('followed literally from an empty folder, with the packed package, gives the example, which passes its whole suite', async function () {
      requireOrSkip(this, needs(), `needs ${what}`);
      if (update) return;
      const folder = join(await packedInstall(), example);
      mkdirSync(folder);
      for (const step of stepsOf(readGuide(guide))) {
        if ('path' in step) {
          const path = join(folder, step.path);
          mkdirSync(dirname(path), { recursive: true });
          writeFileSync(path, step.text);
          continue;
        }
        const [file = '', ...argv] = step.command.split(' ');
        // It is installed in the folder above.
        if (step.command === 'npm install') continue;
        const { code, stdout, stderr } =
          file === 'hyperplug'
            ? await packedCli(argv, folder)
            : await ran(file, argv, { cwd: folder, timeout: 240_000 });
        expect(code !== 0, `${step.command}: exit code ${code}\n${stdout.slice(-20_000)}\n${stderr}`).to.equal(
          step.fails,
        );
      }
      const made = filesOf(folder).filter((path) => !SKELETON_ONLY.test(path));
      const kept = filesOf(join(ROOT, 'examples', example)).filter((path) => !SKELETON_ONLY.test(path));
      expect(made, 'files').to.deep.equal(kept);
      for (const path of made) {
        const text = readFileSync(join(folder, path), 'utf8');
        expect(text, path).to.equal(readFileSync(join(ROOT, 'examples', example, path), 'utf8'));
      }
    });
  });
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .filter((path) => !/^(?:lib|node_modules)\//.test(path))
    .sort();
}

function has(file: string, ...argv: string[]): boolean {
  try {
    execFileSync(file, argv, { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}
