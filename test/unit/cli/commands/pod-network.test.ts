import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import type { PortMapping } from '../../../../src/core/network.js';
import type { PodNic, PodRoute } from '../../../../src/core/pod/types.js';
import { FakeHyperplug, type FakePod, status } from '../../../support/cli/fake-engine.js';
import { cli } from '../../../support/cli/fake-io.js';
import { fakeNic } from '../../../support/cli/fake-pod-network.js';

const web: PortMapping = { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 };
const range: PortMapping = { protocol: 'udp', hostAddress: '::1', hostPort: 50, guestPort: 60, count: 3 };

function engine(nics: readonly PodNic[] = [fakeNic('eth-default')], onOpen: (pod: FakePod) => void = () => {}) {
  const hyperplug = FakeHyperplug.running(() => {});
  hyperplug.statuses = [status('web', { nics })];
  hyperplug.onOpen = onOpen;
  return hyperplug;
}
const calls = (hyperplug: FakeHyperplug) => hyperplug.made[0]?.fake.calls;

describe('hyperplug nic', () => {
  it('add gives the pod what was asked for, all in one call, and lets go of it', async () => {
    const hyperplug = engine();
    const { exitCode, out } = await cli(
      ['nic', 'add', 'web', 'net=lab,ip=10.7.0.5,ip=fd00:7::5,name=lan0,mtu=1400', 'id=second,gateway=none'],
      { hyperplug },
    );
    expect(exitCode).to.equal(0);
    expect(calls(hyperplug)).to.deep.equal([
      [
        'addNics',
        [
          { network: 'lab', ip: ['10.7.0.5', 'fd00:7::5'], ifname: 'lan0', mtu: 1400 },
          { id: 'second', gateway: false },
        ],
      ],
    ]);
    expect(out.split('\n').map((line) => line.split(/ +/).slice(0, 2).join(' '))).to.deep.equal([
      'NIC NETWORK',
      'eth-1 lab',
      'second default',
      '',
    ]);
    expect(hyperplug.made[0]?.fake).to.include({ released: true, removed: false });
  });
  it('add without any adds one', async () => {
    const hyperplug = engine();
    await cli(['nic', 'add', 'web'], { hyperplug });
    expect(calls(hyperplug)).to.deep.equal([['addNics', [{}]]]);
  });
  it('add says what a driver cannot', async () => {
    const refusal = new HyperplugError('NOT_SUPPORTED', 'hypervisor uml cannot add a NIC to a VM that runs');
    const hyperplug = engine([], (pod) => {
      pod.fake.refusal = refusal;
    });
    const { exitCode, err, out } = await cli(['nic', 'add', 'web'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([125, '']);
    expect(err).to.contain('NOT_SUPPORTED: hypervisor uml cannot');
  });

  it('rm goes on past a failure and tells it', async () => {
    const hyperplug = engine([fakeNic('a'), fakeNic('b')]);
    const { exitCode, out, err } = await cli(['nic', 'rm', 'web', 'a', 'x', 'b', 'a'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([125, 'a\nb\n']);
    expect(err).to.equal('hyperplug: VM_NIC_NOT_FOUND: no NIC of the id "x"\n');
    expect(calls(hyperplug)).to.have.length(3);
  });
  it('rm with --json says what came of each', async () => {
    const { exitCode, out, err } = await cli(['nic', 'rm', '--json', 'web', 'a', 'x'], {
      hyperplug: engine([fakeNic('a')]),
    });
    const results = JSON.parse(out) as { error?: { code: string } }[];
    expect(results[0]).to.deep.equal({ id: 'a', removed: true });
    expect(results[1]?.error?.code).to.equal('VM_NIC_NOT_FOUND');
    expect([exitCode, err]).to.deep.equal([125, '']);
  });

  it('set hands on what is to change, and nothing else', async () => {
    const hyperplug = engine();
    const argv = ['nic', 'set', 'web', 'eth-default', '--add-ip', '10.1.2.3/24', '--add-ip', '10.1.2.4/24'];
    await cli([...argv, '--remove-ip', '10.1.2.5', '--mtu', '1400'], { hyperplug });
    expect(calls(hyperplug)).to.deep.equal([
      [
        'updateNic',
        'eth-default',
        { addAddresses: ['10.1.2.3/24', '10.1.2.4/24'], removeAddresses: ['10.1.2.5'], mtu: 1400 },
      ],
    ]);
  });
  it('set without anything, or with what cannot be, is a wrong command line; no pod is opened', async () => {
    for (const options of [[], ['--mtu', '9'], ['--add-ip', '10.1.2'], ['--remove-ip', '::1/129']]) {
      const hyperplug = engine();
      expect((await cli(['nic', 'set', 'web', 'eth-default', ...options], { hyperplug })).exitCode).to.equal(2);
      expect(hyperplug.made).to.have.length(0);
    }
  });

  it('ls shows what the guest reports, and what is recorded where that differs', async () => {
    const linkLocal = { address: 'fe80::1', prefixLength: 64 };
    const same = fakeNic('same', {
      name: 'eth0',
      ports: [web],
      guest: {
        name: 'eth0',
        mac: '',
        mtu: 1500,
        up: true,
        addresses: [{ address: '192.168.123.2', prefixLength: 24 }, linkLocal],
      },
    });
    const other = fakeNic('other', {
      name: 'lan0',
      guest: { name: 'eth1', mac: '', mtu: 1400, up: false, addresses: [linkLocal] },
    });
    const hyperplug = engine([same, other, fakeNic('gone', { guest: null })]);
    const { out } = await cli(['nic', 'ls', 'web'], { hyperplug });
    const rows = out.split('\n').map((line) => line.split(/ {2,}/));
    expect(rows[1]?.slice(2)).to.deep.equal([
      'eth0',
      '52:54:00:00:00:01',
      '1500',
      'up',
      '192.168.123.2/24',
      '0.0.0.0:8080->80/tcp',
    ]);
    expect(rows[2]?.slice(2)).to.deep.equal([
      'eth1 (recorded: lan0)',
      '52:54:00:00:00:01',
      '1400 (recorded: 1500)',
      'down',
      '- (recorded: 192.168.123.2/24)',
      '-',
    ]);
    expect(rows[3]?.slice(2)).to.deep.equal(['-', '52:54:00:00:00:01', '1500', 'missing', '192.168.123.2/24', '-']);
  });
  it('ls with an agent that cannot tell shows what is recorded, and says so', async () => {
    const hyperplug = engine([fakeNic('eth-default')], (pod) => {
      pod.fake.refusal = new HyperplugError('NOT_SUPPORTED', 'agent original cannot read the network back');
    });
    const { exitCode, out, err } = await cli(['nic', 'ls', '--json', 'web'], { hyperplug });
    expect(exitCode).to.equal(0);
    expect(JSON.parse(out)).to.deep.equal([fakeNic('eth-default')]);
    expect(err).to.equal('hyperplug: as recorded: agent original cannot read the network back\n');
  });
});

describe('hyperplug route', () => {
  it('add and rm hand on each destination with the rest', async () => {
    for (const [name, method] of [
      ['add', 'addRoutes'],
      ['rm', 'removeRoutes'],
    ] as const) {
      const hyperplug = engine();
      const argv = [
        'route',
        name,
        'web',
        'default',
        '10.9.0.0/16',
        '--gateway',
        '10.7.0.1',
        '--nic',
        'lan',
        '--metric',
        '5',
      ];
      const { exitCode, out } = await cli(argv, { hyperplug });
      expect([exitCode, out]).to.deep.equal([0, '']);
      const rest = { gateway: '10.7.0.1', nic: 'lan', metric: 5 };
      expect(calls(hyperplug)).to.deep.equal([
        [
          method,
          [
            { destination: 'default', ...rest },
            { destination: '10.9.0.0/16', ...rest },
          ],
        ],
      ]);
    }
  });
  it('a destination, gateway or metric that cannot be is a wrong command line', async () => {
    for (const rest of [['10.9'], ['default', '--gateway', 'x'], ['default', '--metric', '-1'], []]) {
      expect((await cli(['route', 'add', 'web', ...rest], { hyperplug: engine() })).exitCode).to.equal(2);
    }
  });
  it("ls shows the guest's, and what of ours it does not have", async () => {
    const routes: PodRoute[] = [
      { destination: '10.7.0.0/24', device: 'eth1', origin: 'guest', metric: 0 },
      { destination: '10.9.0.0/16', gateway: '10.7.0.1', nic: 'lan', origin: 'pod', missing: true },
    ];
    const open = (pod: FakePod) => {
      pod.fake.guestRoutes = routes;
    };
    const { out } = await cli(['route', 'ls', 'web'], { hyperplug: engine([], open) });
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).to.deep.equal([
      ['DESTINATION', 'GATEWAY', 'NIC', 'DEVICE', 'METRIC', 'SET BY', 'STATE'],
      ['10.7.0.0/24', '-', '-', 'eth1', '0', 'guest', 'there'],
      ['10.9.0.0/16', '10.7.0.1', 'lan', '-', '-', 'pod', 'missing'],
      [''],
    ]);
    expect(
      JSON.parse((await cli(['route', 'ls', '--json', 'web'], { hyperplug: engine([], open) })).out),
    ).to.deep.equal(routes);
  });
});

describe('hyperplug port', () => {
  it('add publishes, on the NIC that was named', async () => {
    const hyperplug = engine();
    const argv = ['port', 'add', 'web', '8080:80', '[::1]:50-52:60-62/sctp', '--nic', 'lan'];
    const { exitCode, out } = await cli(argv, { hyperplug });
    expect([exitCode, out]).to.deep.equal([0, '0.0.0.0:8080->80/tcp\n[::1]:50-52->60-62/sctp\n']);
    expect(calls(hyperplug)?.[0]?.[1]).to.deep.equal([
      { hostPort: '8080', containerPort: '80', protocol: 'tcp', interface: 'lan' },
      { hostAddress: '::1', hostPort: '50-52', containerPort: '60-62', protocol: 'sctp', interface: 'lan' },
    ]);
  });
  it('rm withdraws by the host side, and prints what there was', async () => {
    const hyperplug = engine([fakeNic('a', { ports: [web, range] })]);
    const { exitCode, out } = await cli(['port', 'rm', 'web', '[::1]:50-52/UDP', '9999'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([0, '[::1]:50-52->60-62/udp\n']);
    expect(calls(hyperplug)).to.deep.equal([
      [
        'unpublish',
        [
          { hostAddress: '::1', hostPort: '50-52', protocol: 'udp' },
          { hostPort: '9999', protocol: 'tcp' },
        ],
      ],
    ]);
  });
  it('ls lists them with their NIC, without taking hold of the pod', async () => {
    const toAny = { ...web, hostPort: 7000, guestCount: 4 };
    const hyperplug = engine([fakeNic('a', { ports: [web, toAny] }), fakeNic('b', { ports: [range] })]);
    const { out } = await cli(['port', 'ls', 'web'], { hyperplug });
    expect(out.split('\n').map((line) => line.split(/ {2,}/))).to.deep.equal([
      ['HOST', 'POD', 'PROTOCOL', 'NIC'],
      ['0.0.0.0:8080', '80', 'tcp', 'a'],
      ['0.0.0.0:7000', '80-83', 'tcp', 'a'],
      ['[::1]:50-52', '60-62', 'udp', 'b'],
      [''],
    ]);
    expect(hyperplug.made).to.have.length(0);
    const { out: text } = await cli(['port', 'ls', '--json', 'web'], { hyperplug });
    expect(JSON.parse(text)).to.deep.equal([
      { ...web, nic: 'a' },
      { ...toAny, nic: 'a' },
      { ...range, nic: 'b' },
    ]);
  });
  it('ls of an unknown pod is an error of ours', async () => {
    const { exitCode, err } = await cli(['port', 'ls', 'nope'], { hyperplug: engine() });
    expect([exitCode, err]).to.deep.equal([125, 'hyperplug: POD_NOT_FOUND: no pod of the id "nope"\n']);
  });
});
