import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { Sandbox } from '../support/sandbox.js';

describe('the program as it is shipped', function () {
  this.timeout(60_000);
  let sandbox: Sandbox;
  before(async () => {
    sandbox = await Sandbox.make();
  });
  after(() => sandbox.dispose());

  it('reads a configuration in YAML, and tells the line of what is wrong with it', async () => {
    const path = join(sandbox.root, 'other.yaml');
    const show = async (text: string) => {
      await writeFile(path, text);
      return sandbox.run(['config', 'show', '--origin', '--config', path]);
    };
    const { code, stdout, stderr } = await show('# mine\npods:\n  cpus: 3\n');
    expect(code, stderr).to.equal(0);
    expect(stdout.toString()).to.match(/cpus: 3 +# .*other\.yaml:3/);
    const wrong = await show('pods:\n  cpu: 3\n');
    expect(wrong.code).to.equal(125);
    expect(wrong.stderr).to.include('CONFIG_INVALID').and.to.include('other.yaml:2');
  });
});
