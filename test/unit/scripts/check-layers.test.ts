import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { REPOSITORY } from './clone.js';

interface Checker {
  checkLayers(root: string): string[];
  importsOf(source: string): { specifier: string; typeOnly: boolean }[];
}

describe('layer check', () => {
  let folder: string;
  let checker: Checker;

  before(async () => {
    checker = (await import(join(REPOSITORY, 'scripts/check-layers.mjs'))) as Checker;
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-layers-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const check = (file: string, source: string) => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), source);
    return checker.checkLayers(folder);
  };

  const wrong: [string, string, string][] = [
    ['src/core/vm/a.ts', "import { x } from '../../plugins/qemu/index.js';", 'src/core/'],
    ['src/core/a.ts', "import { x } from '../host/lock.js';", 'only types'],
    ['src/core/a.ts', "import { type A, x } from '../host/lock.js';", 'only types'],
    ['src/core/a.ts', "await import('../host/lock.js');", 'only types'],
    ['src/core/a.ts', "export * from '../hyperplug.js';", 'src/core/'],
    ['src/core/a.ts', "import '../cli/main.js';", 'src/core/'],
    ['src/host/a.ts', "import { x } from '../plugins/qemu/index.js';", 'src/host/'],
    ['src/plugins/qemu/qmp/a.ts', "import { x } from '../../local/index.js';", 'another plugin'],
    ['src/plugins/qemu/a.ts', "import type { X } from '../../cli/main.js';", 'src/plugins/'],
    ['src/testing/a.ts', "import { it } from 'mocha';", 'any test runner'],
    ['src/testing/a.ts', "import { test } from 'node:test';", 'any test runner'],
    ['src/testing/a.ts', "import { x } from '../plugins/qemu/index.js';", 'src/testing/'],
    ['src/client/a.ts', "import { x } from '../plugins/qemu/index.js';", 'src/client/'],
    ['src/daemon/a.ts', "import { x } from '../cli/main.js';", 'src/daemon/'],
    ['src/hyperplug.ts', "import { x } from './cli/main.js';", 'src/'],
    ['guest/image/a.ts', "import { x } from '../../src/plugins/qemu/index.js';", 'guest/'],
    ['src/core/a.ts', "import {\n  one,\n  two,\n} from '../plugins/qemu/index.js';", 'src/core/'],
  ];
  for (const [file, source, why] of wrong) {
    it(`refuses ${JSON.stringify(source)} in ${file}`, () => {
      const found = check(file, source);
      expect(found).to.have.length(1);
      expect(found[0]).to.include(file).and.include(why);
    });
  }

  const right: [string, string][] = [
    ['src/core/a.ts', "import type { X } from '../host/tools.js';"],
    ['src/core/a.ts', "import { type X, type Y } from '../host/tools.js';"],
    ['src/core/vm/a.ts', "import { x } from '../errors.js'; import { z } from 'zod';"],
    ['src/core/a.ts', "// import { x } from '../plugins/qemu/index.js';\n/* import '../cli/main.js' */"],
    ['src/plugins/qemu/qmp/a.ts', "import { x } from '../argv.js'; import { y } from '../../../host/process.js';"],
    ['src/plugins/hyperstart/a.ts', "import { x } from '../../../guest/protocol/protocol.gen.js';"],
    ['src/hyperplug.ts', "import { x } from './plugins/qemu/index.js'; import { y } from '../guest/image/index.js';"],
    [
      'src/cli/commands/run.ts',
      "import { x } from '../../hyperplug.js'; import { y } from '../../plugins/qemu/index.js';",
    ],
    ['src/daemon/a.ts', "import { x } from '../hyperplug.js';"],
    ['guest/image/a.ts', "import { x } from '../../src/host/command.js';"],
  ];
  for (const [file, source] of right) {
    it(`allows ${JSON.stringify(source)} in ${file}`, () => expect(check(file, source)).to.deep.equal([]));
  }

  it('finds nothing wrong in this repository', () => {
    expect(checker.checkLayers(REPOSITORY)).to.deep.equal([]);
  });
});
