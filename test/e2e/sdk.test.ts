import { expect } from 'chai';
import { createHyperplug, isHyperplugError } from '../../src/index.js';
import { Sandbox } from '../support/sandbox.js';

describe('the SDK', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.make();
  });
  afterEach(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });
  after(() => sandbox.dispose());

  it('creates a pod, runs commands at once, moves files, and leaves nothing when it goes out of scope', async () => {
    {
      await using hyperplug = await createHyperplug({ configPath: sandbox.configPath });
      await using pod = await hyperplug.createPod({ resource: { vcpu: 1, memory: 128 }, hostname: 'sdk' });
      const { exitCode, stdout, stderr } = await pod.run({
        argv: ['sh', '-c', 'cat; hostname >&2; exit 5'],
        input: 'in',
      });
      expect({ exitCode, stdout: stdout.toString(), stderr: stderr.toString() }).to.deep.equal({
        exitCode: 5,
        stdout: 'in',
        stderr: 'sdk\n',
      });
      const words = await Promise.all(['a', 'b', 'c', 'd'].map((word) => pod.run({ argv: ['echo', word] })));
      expect(words.map((word) => word.stdout.toString())).to.deep.equal(['a\n', 'b\n', 'c\n', 'd\n']);
      await pod.writeFile('/tmp/file', Buffer.from([0, 1, 255]));
      expect([...(await pod.readFile('/tmp/file'))]).to.deep.equal([0, 1, 255]);
      expect(pod.nics[0]?.guest?.addresses.map(({ address }) => address)).to.include('192.168.123.15');
      expect(await hyperplug.listPods()).to.have.length(1);
      const missing = await pod.run({ argv: ['no-such-program'] }).catch((error: unknown) => error);
      expect(isHyperplugError(missing) && missing.code).to.equal('AGENT_EXEC_FAILED');
    }
  });

  it('tells when the guest powers off, and every call fails at once with the reason', async () => {
    await using hyperplug = await createHyperplug({ configPath: sandbox.configPath });
    const pod = await hyperplug.createPod({});
    const sleeping = pod.run({ argv: ['sleep', '1000'] }).catch((error: unknown) => error);
    await pod.exec({ argv: ['sh', '-c', 'echo o >/proc/sysrq-trigger'] }).catch(() => {});
    expect((await pod.exited).reason).to.equal('shutdown');
    const error = await sleeping;
    expect(isHyperplugError(error) && error.code).to.be.oneOf(['AGENT_CLOSED', 'VM_EXITED']);
    await pod.remove();
  });
});
