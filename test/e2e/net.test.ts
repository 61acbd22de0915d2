import { once } from 'node:events';
import { expect } from 'chai';
import type { NetworkRepair, NetworkReport } from '../../src/core/pod/types.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';
import { type Finished, Sandbox } from '../support/sandbox.js';

/** Networks on bridges with rules, in a network namespace of the test's own. */
describe('hyperplug net', function () {
  this.timeout(120_000);
  let namespace: TestNamespace;
  let sandbox: Sandbox;

  before(async function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    sandbox = await Sandbox.make({
      network: {
        backend: 'netlink',
        netlink: { netns: namespace.path },
        networks: {
          default: { subnets: ['10.213.1.0/24', 'fd00:213:1::/64'] },
          lab: { subnets: ['10.213.2.0/24'], mtu: 1400, isolated: true },
        },
      },
      firewall: { driver: 'iptables', iptables: { netns: namespace.path } },
    });
  });
  after(async () => {
    await sandbox?.dispose();
    namespace?.delete();
  });

  const net = async (...args: string[]): Promise<Finished & { readonly text: string }> => {
    const finished = await sandbox.run(['net', ...args]);
    return { ...finished, text: finished.stdout.toString() };
  };
  const ok = async (...args: string[]): Promise<string> => {
    const { code, text, stderr } = await net(...args);
    expect(code, stderr).to.equal(0);
    return text;
  };
  const reports = async (...args: string[]) => JSON.parse(await ok(...args, '--json')) as NetworkReport[];
  const states = async () => (await reports('status')).map(({ name, state }) => `${name} ${state}`);
  /** As other people's programs see it; counters aside. */
  const rules = () =>
    ['iptables-save', 'ip6tables-save']
      .flatMap((program) => namespace.exec(program).split('\n'))
      .filter((line) => /^(-A|:HYPER)/.test(line))
      .map((line) => line.replace(/ ?\[\d+:\d+\]/, ''));
  const ofDefault = (rule: string) => /hyperplug@\w+ default /.test(rule);
  const bridges = () =>
    namespace
      .json('link', 'show', 'type', 'bridge')
      .map(({ ifname, mtu, ifalias }) => `${ifname} ${mtu} ${ifalias.replace(/@\w+/, '')}`);

  it('status of networks that have not been made makes none', async () => {
    expect(await states()).to.deep.equal(['default absent', 'lab absent']);
    expect([...bridges(), ...rules()]).to.deep.equal([]);
  });

  it('check tells that they are not there, with exit code 1', async () => {
    const { code, text } = await net('check', 'lab');
    expect(code).to.equal(1);
    expect(text).to.match(/^lab: has not been made\n/);
  });

  it('init makes one by its name, then all, and again without a change', async () => {
    await ok('init', 'lab');
    expect(bridges()).to.deep.equal(['hyper-lab 1400 hyperplug network lab']);
    expect(await states()).to.deep.equal(['default absent', 'lab ready']);
    expect(rules().filter(ofDefault)).to.deep.equal([]);
    const made = await reports('init');
    expect(made.map(({ state, bridge, gateways }) => [state, bridge, gateways])).to.deep.equal([
      ['ready', 'hyper0', ['10.213.1.1', 'fd00:213:1::1']],
      ['ready', 'hyper-lab', ['10.213.2.1']],
    ]);
    const before = rules();
    expect(before.some((rule) => rule.includes('MASQUERADE'))).to.equal(true);
    await Promise.all([ok('init'), ok('init', 'default')]);
    expect(rules()).to.deep.equal(before);
    expect(await ok('check')).to.equal('default: as it should be\nlab: as it should be\n');
  });

  it('a rule that somebody deleted is told, and repaired in its place', async () => {
    const before = rules();
    const forward = before.findIndex((rule) => rule.startsWith('-A FORWARD') && ofDefault(rule));
    const words = [...(before[forward] ?? '').matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
    namespace.exec('iptables', '-D', ...(words.slice(1) as string[]));
    expect(await states()).to.deep.equal(['default drifted', 'lab ready']);
    const { code, text } = await net('check');
    expect(code).to.equal(1);
    expect(text)
      .to.match(/^default: firewall: missing: .*FORWARD/)
      .and.to.include(before[forward])
      .and.to.match(/\nlab: as it should be\n$/);
    expect(await ok('repair'))
      .to.match(/^default: mended: firewall: missing: /)
      .and.to.match(/\nlab: nothing to mend\n$/);
    expect(rules()).to.deep.equal(before);
    expect(await ok('repair')).to.equal('default: nothing to mend\nlab: nothing to mend\n');
  });

  it('everything flushed, an address and an MTU changed: repaired', async () => {
    const before = rules();
    for (const program of ['iptables', 'ip6tables']) {
      for (const table of ['filter', 'nat']) namespace.exec(program, '-t', table, '-F');
    }
    namespace.ip('address', 'del', '10.213.2.1/24', 'dev', 'hyper-lab');
    namespace.ip('link', 'set', 'hyper-lab', 'mtu', '1300');
    const repairs = JSON.parse(await ok('repair', '--json')) as NetworkRepair[];
    expect(repairs.map(({ name }) => name)).to.deep.equal(['default', 'lab']);
    expect(repairs[1]?.mended.join('\n')).to.include('10.213.2.1/24').and.to.include('1300');
    expect(rules()).to.deep.equal(before);
    expect(await states()).to.deep.equal(['default ready', 'lab ready']);
  });

  it('a bridge that somebody deleted is made again', async () => {
    namespace.ip('link', 'delete', 'hyper0');
    expect(await states()).to.deep.equal(['default absent', 'lab ready']);
    await ok('repair', 'default');
    expect(await states()).to.deep.equal(['default ready', 'lab ready']);
  });

  it('what is in the way and not ours is told, and left alone', async () => {
    await ok('teardown', 'lab');
    namespace.ip('link', 'add', 'hyper-lab', 'type', 'bridge');
    const { code, stderr } = await net('init', 'lab');
    expect(code).to.equal(125);
    expect(stderr).to.include('NET_INIT_FAILED').and.to.include('hyper-lab');
    await ok('teardown', 'lab');
    expect(namespace.links()).to.include('hyper-lab');
    namespace.ip('link', 'delete', 'hyper-lab');
    await ok('init');
  });

  it("a running pod's ports are missed when somebody flushed them, and published again, kept or held", async () => {
    const made = await sandbox.run(['run', '-n', '--keep', '--name', 'kept', '-p', '18080:80', '--', 'true']);
    expect(made.code, made.stderr).to.equal(0);
    const held = sandbox.start(['run', '--name', 'held', '-p', '18081:80', '--', 'sh', '-c', 'echo up; sleep 1000']);
    try {
      await once(held.stdout as NodeJS.EventEmitter, 'data');
      expect(await ok('check')).to.equal('default: as it should be\nlab: as it should be\n');
      const before = rules();
      namespace.exec('iptables', '-t', 'nat', '-F', 'HYPER');
      const { code, text } = await net('check', 'default');
      expect(code).to.equal(1);
      expect(text).to.match(/^(default: firewall: missing: .*DNAT.*\n){2}$/);
      await ok('repair');
      // Ports of different pods stand in no certain order.
      expect(rules().sort()).to.deep.equal(before.sort());
      const refused = await net('teardown');
      expect([refused.code, refused.stderr.includes('NET_IN_USE')]).to.deep.equal([125, true]);
    } finally {
      const ended = once(held, 'close');
      held.kill('SIGTERM');
      await ended;
      const removed = await sandbox.run(['rm', 'kept']);
      expect(removed.code, removed.stderr).to.equal(0);
    }
    expect(rules().filter((rule) => ofDefault(rule) && rule.includes(' port '))).to.deep.equal([]);
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });

  it('teardown of one leaves the other, of all leaves nothing; again is no error', async () => {
    expect(await ok('teardown', 'lab')).to.equal('lab\n');
    expect(await states()).to.deep.equal(['default ready', 'lab absent']);
    expect(rules().filter((rule) => rule.includes('lab'))).to.deep.equal([]);
    expect(await ok('teardown')).to.equal('default\nlab\n');
    expect([...bridges(), ...rules()]).to.deep.equal([]);
    expect(namespace.links()).to.deep.equal(['lo']);
    expect(await ok('teardown')).to.equal('default\nlab\n');
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });

  it('a network that is not configured is told before anything is done', async () => {
    const { code, stderr } = await net('init', 'lab', 'nope');
    expect(code).to.equal(125);
    expect(stderr).to.include('NET_NOT_FOUND').and.to.include('default, lab');
    expect(bridges()).to.deep.equal([]);
  });
});
