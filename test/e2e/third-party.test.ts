import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { Sandbox } from '../support/sandbox.js';

/** A driver of its own in a file outside the package: QEMU's, under another name, that says so on the console of the host. */
const driver = (body: string) => `
import { TOKENS } from 'hyperplug';
import qemu from 'hyperplug/plugins/qemu';

export default {
  ...qemu,
  name: 'mine',
  description: 'QEMU, and proud of it',
  register({ bind }, options) {
    qemu.register({ bind: (token) => {
      const binding = bind(token);
      return { toDynamicValue(make) {
        return binding.toDynamicValue(async (context) => {
          const made = await make(context);
          process.stderr.write('mine: made\\n');
          Object.defineProperty(made, 'name', { value: 'mine' });
          return made;
        });
      } };
    } }, options);
  },
  ${body}
};
`;

describe('a third-party driver in a file outside the package', function () {
  this.timeout(300_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.make();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
    await sandbox.configure({ plugins: ['./driver.mjs'], hypervisor: { driver: 'mine' } });
  });
  afterEach(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });
  after(() => sandbox.dispose());

  it('is loaded by configuration and runs the pod', async () => {
    writeFileSync(join(sandbox.root, 'driver.mjs'), driver(''));
    const { code, stdout, stderr } = await sandbox.run(['run', '--', 'echo', 'hello']);
    expect(stdout.toString(), stderr).to.equal('hello\n');
    expect(code).to.equal(0);
    expect(stderr).to.equal('mine: made\n');
  });

  const wrong: [string, string, string, RegExp][] = [
    ['of another version of the interface', 'apiVersion: 99,', 'PLUGIN_API_VERSION', /apiVersion.*1.*99/],
    [
      'with a capability of the wrong type',
      'capabilities: { ...qemu.capabilities, pause: "yes" },',
      'PLUGIN_INVALID',
      /capabilities\.pause.*"yes"/,
    ],
    [
      'that lacks what the network needs',
      'capabilities: { ...qemu.capabilities, nicEndpoints: ["tap-name"] },',
      'PLUGIN_CAPABILITY_MISSING',
      /tap-name/,
    ],
    ['that cannot be parsed', '} not JavaScript {', 'PLUGIN_LOAD_FAILED', /driver\.mjs/],
  ];
  for (const [title, body, errorCode, message] of wrong) {
    it(`is refused when it is one ${title}, by name and field`, async () => {
      writeFileSync(join(sandbox.root, 'driver.mjs'), driver(body));
      const { code, stdout, stderr } = await sandbox.run(['run', '--', 'true']);
      expect(code).to.equal(125);
      expect(stdout.toString()).to.equal('');
      expect(stderr).to.include(errorCode).and.to.match(message);
    });
  }
});
