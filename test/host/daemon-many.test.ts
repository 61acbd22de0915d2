import { expect } from 'chai';
import { daemonProcess, manyPods } from '../support/many-pods.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

const COUNT = 50;

describe('a daemon on real bridges, taps and rules', function () {
  this.timeout(240_000);
  let namespace: TestNamespace | undefined;

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
  });
  after(() => namespace?.delete());

  it(`${COUNT} pods by 8 clients at once: no address, MAC or port twice, and nothing is left`, async () => {
    const space = namespace as TestNamespace;
    const daemon = await daemonProcess(space.path);
    const taps = () => space.json('link', 'show', 'type', 'tun').length;
    const rules = () =>
      ['iptables-save', 'ip6tables-save']
        .flatMap((program) => space.exec(program).split('\n'))
        .filter((line) => /-j DNAT|--dport/.test(line));
    const { running } = await manyPods(daemon.socketPath, { count: COUNT, clients: 8 }, async () => {
      expect(taps()).to.equal(COUNT);
      expect(rules().length).to.be.at.least(COUNT);
    });
    expect(running.filter(({ state }) => state === 'running')).to.have.length(COUNT);
    const distinct = (values: readonly (string | number)[]) => expect(new Set(values).size).to.equal(values.length);
    distinct(running.flatMap(({ addresses }) => addresses));
    distinct(running.flatMap(({ nics }) => nics.map(({ mac }) => mac)));
    distinct(running.flatMap(({ ports }) => ports.map(({ hostPort }) => hostPort)));
    expect(running.flatMap(({ addresses }) => addresses).length).to.equal(COUNT * 2);
    expect([taps(), rules()]).to.deep.equal([0, []]);
    const report = await daemon.stop();
    expect(report.leftovers).to.deep.equal([]);
    expect(report.log).to.deep.equal([]);
    expect(report.loop.p99).to.be.a('number');
  });
});
