import { expect } from 'chai';
import { FakeHyperplug } from '../../../support/cli/fake-engine.js';
import { cli } from '../../../support/cli/fake-io.js';
import { report } from '../../../support/cli/fake-networks.js';

function engine(): FakeHyperplug {
  const hyperplug = FakeHyperplug.running(() => {});
  hyperplug.networks.reports = [
    report('default', { pods: ['db', 'web'] }),
    report('lab', {
      state: 'drifted',
      bridge: 'hyper-lab',
      subnets: ['10.7.0.0/24', 'fd00:7::/64'],
      gateways: ['10.7.0.1', 'fd00:7::1'],
      mtu: 1400,
      drift: ['bridge hyper-lab: expected MTU 1400, got 1500', 'firewall: missing: -A FORWARD \x1b[31m'],
    }),
    report('dmz', { state: 'absent', present: false, bridge: 'hyper-dmz', drift: ['bridge hyper-dmz: expected one'] }),
  ];
  return hyperplug;
}

describe('hyperplug net', () => {
  it('status lists every network and changes nothing', async () => {
    const hyperplug = engine();
    const { exitCode, out } = await cli(['net', 'status'], { hyperplug });
    expect(exitCode).to.equal(0);
    expect(out.split('\n')).to.deep.equal([
      'NETWORK  STATE        BRIDGE     SUBNETS                   GATEWAYS             MTU   PODS',
      'default  ready        hyper0     192.168.123.0/24          192.168.123.1        1500  db, web',
      'lab      drifted (2)  hyper-lab  10.7.0.0/24, fd00:7::/64  10.7.0.1, fd00:7::1  1400  -',
      'dmz      absent       hyper-dmz  192.168.123.0/24          192.168.123.1        1500  -',
      '',
    ]);
    expect(hyperplug.networks.calls).to.deep.equal([['status', []]]);
  });
  it('status takes names, and gives all it knows as JSON', async () => {
    const hyperplug = engine();
    const { out } = await cli(['net', '--json', 'status', 'lab'], { hyperplug });
    expect(JSON.parse(out)).to.deep.equal([hyperplug.networks.reports[1]]);
  });
  it('a network that is not configured is an error of ours', async () => {
    const { exitCode, err } = await cli(['net', 'status', 'nope'], { hyperplug: engine() });
    expect(exitCode).to.equal(125);
    expect(err).to.equal('hyperplug: NET_NOT_FOUND: no network "nope"\n');
  });

  it('check tells each difference, without steering the terminal, and ends with 1', async () => {
    const { exitCode, out } = await cli(['net', 'check'], { hyperplug: engine() });
    expect(exitCode).to.equal(1);
    expect(out.split('\n')).to.deep.equal([
      'default: as it should be',
      'lab: bridge hyper-lab: expected MTU 1400, got 1500',
      'lab: firewall: missing: -A FORWARD ^[[31m',
      'dmz: has not been made',
      'dmz: bridge hyper-dmz: expected one',
      '',
    ]);
  });
  it('check ends with 0 where nothing differs, and with JSON by the same code', async () => {
    expect((await cli(['net', 'check', 'default'], { hyperplug: engine() })).exitCode).to.equal(0);
    expect((await cli(['net', 'check', '--json', 'lab'], { hyperplug: engine() })).exitCode).to.equal(1);
  });

  it('init makes those that are named, and shows them', async () => {
    const hyperplug = engine();
    const { exitCode, out } = await cli(['net', 'init', 'dmz'], { hyperplug });
    expect([exitCode, out.split('\n')[1]]).to.deep.equal([
      0,
      'dmz      ready  hyper-dmz  192.168.123.0/24  192.168.123.1  1500  -',
    ]);
    expect(hyperplug.networks.calls).to.deep.equal([['init', ['dmz']]]);
  });

  it('repair tells what it mended', async () => {
    const { exitCode, out } = await cli(['net', 'repair', 'default', 'lab'], { hyperplug: engine() });
    expect(exitCode).to.equal(0);
    expect(out.split('\n')).to.deep.equal([
      'default: nothing to mend',
      'lab: mended: bridge hyper-lab: expected MTU 1400, got 1500',
      'lab: mended: firewall: missing: -A FORWARD ^[[31m',
      '',
    ]);
  });

  it('teardown refuses a network with pods in it, unless forced', async () => {
    const hyperplug = engine();
    const refused = await cli(['net', 'teardown', 'default'], { hyperplug });
    expect([refused.exitCode, refused.out]).to.deep.equal([125, '']);
    expect(refused.err).to.contain('NET_IN_USE');
    const { exitCode, out } = await cli(['net', 'teardown', '--force', 'default', 'lab'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([0, 'default\nlab\n']);
    expect(hyperplug.networks.calls).to.deep.include(['teardown', ['default', 'lab'], true]);
  });

  it('needs a subcommand', async () => {
    expect((await cli(['net'], { hyperplug: engine() })).exitCode).to.equal(2);
  });
});
