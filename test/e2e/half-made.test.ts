import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { finish, Sandbox } from '../support/sandbox.js';

describe('a kept pod whose manager died while it was being made', function () {
  this.timeout(300_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.make();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
  });
  after(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it('does not pass for a running one, and the next run clears it', async () => {
    const child = sandbox.start(['run', '--keep', '--name', 'half', '--', 'true']);
    const ended = finish(child);
    const pods = async () =>
      JSON.parse((await sandbox.run(['ps', '--all', '--json'])).stdout.toString()) as {
        state: string;
        pid: number | null;
      }[];
    await eventually(
      async () => expect((await sandbox.leftovers()).some((left) => left.includes('qemu'))).to.equal(true),
      60_000,
    );
    child.kill('SIGKILL');
    expect((await ended).signal).to.equal('SIGKILL');
    expect((await pods()).map(({ state }) => state)).to.deep.equal(['failed']);
    expect((await sandbox.run(['exec', 'half', 'true'])).code).to.equal(125);
    expect((await sandbox.run(['run', '--', 'true'])).code).to.equal(0);
    expect(await pods()).to.deep.equal([]);
  });
});
