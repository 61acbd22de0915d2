import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import { OpenVswitch } from '../../../../src/plugins/netlink/openvswitch.js';
import { netlinkOptions } from '../../../../src/plugins/netlink/options.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const attachment = (parts: object = {}) => {
  const { attach } = netlinkOptions.parse({ attach: { net: { kind: 'openvswitch', ...parts } } });
  const found = attach.net;
  if (found?.kind !== 'openvswitch') throw new Error('no attachment');
  return found;
};

describe('Open vSwitch', () => {
  /** What ovs-vsctl was asked, and a switch that has these bridges by owner. */
  function recorder(bridges: Record<string, string> = {}) {
    const asked: string[] = [];
    const ovs = new OpenVswitch(async (argv) => {
      expect(argv[0]).to.equal('--timeout=30');
      const args = argv.slice(1);
      asked.push(args.join(' '));
      if (args[0] === 'list-br') return `${Object.keys(bridges).join('\n')}\n`;
      return args[0] === 'br-get-external-id' ? `${bridges[args[1] ?? ''] ?? ''}\n` : '';
    });
    return { ovs, changes: () => asked.filter((line) => !/^(list-br|br-get-external-id)/.test(line)) };
  }

  it('makes a bridge in one transaction, with its mark and options', async () => {
    const { ovs, changes } = recorder();
    const options = attachment({
      vlan: 7,
      bridgeOptions: ['stp_enable=true', 'other_config:hwaddr=02:00:00:00:00:01'],
    });
    expect(await ovs.ensureBridge('br1', 'net', options, call())).to.equal(true);
    expect(changes()).to.deep.equal([
      'add-br br1 -- br-set-external-id br1 hyperplug-network net -- set bridge br1 stp_enable=true other_config:hwaddr=02:00:00:00:00:01 -- set port br1 tag=7',
    ]);
  });

  it('makes no bridge twice, and tells whose one is', async () => {
    const { ovs, changes } = recorder({ br1: 'net', br2: '' });
    expect(await ovs.ensureBridge('br1', 'net', attachment(), call())).to.equal(false);
    expect(changes()).to.deep.equal([]);
    expect(await ovs.owner('br1', call())).to.equal('net');
    expect(await ovs.owner('br2', call())).to.equal('');
    expect(await ovs.owner('br3', call())).to.equal(undefined);
  });

  it('adds a port in one transaction, a stale one of its name before, with VLAN and options', async () => {
    const { ovs, changes } = recorder();
    await ovs.addPort('br1', 'hpx', attachment({ vlan: 7, portOptions: ['qos=@none'] }), call());
    await ovs.addPort('br1', 'hpy', attachment(), call());
    await ovs.removePort('br1', 'hpx', call());
    await ovs.removeBridge('br1', call());
    expect(changes()).to.deep.equal([
      '--if-exists del-port hpx -- add-port br1 hpx -- set port hpx tag=7 qos=@none',
      '--if-exists del-port hpy -- add-port br1 hpy',
      '--if-exists del-port br1 hpx',
      '--if-exists del-br br1',
    ]);
  });

  it('tells whether it answers, for which networks, and what to do where it does not', async () => {
    const { ovs } = recorder({ br1: 'net' });
    const good = await ovs.diagnose(['net', 'lab'], call());
    expect(good).to.deep.include({ id: 'netlink.openvswitch', status: 'ok' });
    expect(good.summary).to.include('net, lab').and.to.include('1 bridges');
    for (const [code, fix] of [
      ['HOST_TOOL_MISSING', /install .*openvswitch-switch/],
      ['HOST_COMMAND_FAILED', /start Open vSwitch/],
    ] as const) {
      const without = new OpenVswitch(() => Promise.reject(new HyperplugError(code, 'ovs-vsctl: why')));
      const bad = await without.diagnose(['lab'], call());
      expect(bad).to.deep.include({ id: 'netlink.openvswitch', status: 'fail' });
      expect(bad.summary).to.include('lab').and.to.include('ovs-vsctl: why');
      expect(bad.fix).to.match(fix);
    }
  });

  it('takes options in the form COLUMN=VALUE only', () => {
    for (const bad of ['--', 'add-br', 'a b=c', '--if-exists=1']) {
      expect(() => attachment({ portOptions: [bad] }), bad).to.throw('COLUMN');
    }
    expect(() => attachment({ vlan: 4095 })).to.throw();
  });
});
