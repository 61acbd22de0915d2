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
      const { exitCode, stdout, stderr } = await pod.exec(['sh', '-c', 'cat; hostname >&2; exit 5'], {
        input: 'in',
        reject: false,
      });
      expect({ exitCode, stdout, stderr }).to.deep.equal({ exitCode: 5, stdout: 'in', stderr: 'sdk' });
      const words = await Promise.all(['a', 'b', 'c', 'd'].map((word) => pod.exec(['echo', word])));
      expect(words.map((word) => word.stdout)).to.deep.equal(['a', 'b', 'c', 'd']);
      await pod.files.write('/tmp/file', Buffer.from([0, 1, 255]));
      expect([...(await pod.files.read('/tmp/file'))]).to.deep.equal([0, 1, 255]);
      expect(pod.nics.list()[0]?.guest?.addresses.map(({ address }) => address)).to.include('192.168.123.15');
      expect(await hyperplug.listPods()).to.have.length(1);
      const missing = await pod.exec(['no-such-program']).catch((error: unknown) => error);
      expect(isHyperplugError(missing) && missing.code).to.equal('AGENT_EXEC_FAILED');
    }
  });

  it('tells when the guest powers off, and every call fails at once with the reason', async () => {
    await using hyperplug = await createHyperplug({ configPath: sandbox.configPath });
    const pod = await hyperplug.createPod({});
    const sleeping = pod.exec(['sleep', '1000']).catch((error: unknown) => error);
    await pod.exec(['sh', '-c', 'echo o >/proc/sysrq-trigger']).catch(() => {});
    expect((await pod.exited).reason).to.equal('shutdown');
    const error = await sleeping;
    expect(isHyperplugError(error) && error.code).to.equal('VM_EXITED');
    await pod.remove();
  });
});
