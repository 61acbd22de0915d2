import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { expect } from 'chai';
import type { PodNic, PodRoute } from '../../src/core/pod/types.js';
import { onEachDriver } from '../support/drivers.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { Sandbox } from '../support/sandbox.js';

/** NICs, routes and ports of one kept pod on the hypervisor's own networks, each command a process of its own. */
onEachDriver('hyperplug nic, route and port', function (driver) {
  const lan = driver.renamesBuiltin ? 'lan1' : 'lan0';
  this.timeout(240_000);
  let sandbox: Sandbox;

  const hyperplug = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await sandbox.run(args);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout.toString();
  };
  const guest = (script: string) => hyperplug('exec', '-n', 'web', 'sh', '-c', script);
  const nics = async () => JSON.parse(await hyperplug('nic', 'ls', '--json', 'web')) as PodNic[];
  const routes = async () => JSON.parse(await hyperplug('route', 'ls', '--json', 'web')) as PodRoute[];

  before(async () => {
    sandbox = await Sandbox.make({
      network: {
        networks: {
          default: { subnets: ['10.0.2.0/24'] },
          lab: { subnets: ['10.7.0.0/24'], mtu: 1400 },
        },
      },
      pods: { nicSlots: 2 },
      hypervisor: { driver: driver.name },
    });
    await hyperplug('run', '-n', '--keep', '--name', 'web', '--nic', 'name=wan0', '--', 'true');
  });
  after(async () => {
    await sandbox?.run(['rm', '--force', 'web']);
    expect(await sandbox?.leftovers()).to.deep.equal([]);
    await sandbox?.dispose();
  });

  it('run --nic gave the NIC its name, and nic ls what the guest says', async () => {
    expect(await nics()).to.have.length(1);
    const [header, row] = (await hyperplug('nic', 'ls', 'web')).split('\n');
    expect(header).to.match(/^NIC +NETWORK +NAME +MAC +MTU +STATE +ADDRESSES +PORTS$/);
    expect(row).to.match(/^eth-default +default +wan0 +\S+ +1500 +up +10\.0\.2\.15\/24 +-$/);
  });

  it('nic add plugs a second one into the running guest, which has it by its MAC', async () => {
    const mac = '52:54:00:aa:bb:01';
    const added = await hyperplug('nic', 'add', 'web', `net=lab,ip=10.7.0.9,mac=${mac},name=lan0,id=lab`);
    expect(added).to.match(new RegExp(`\\nlab +lab +lan0 +${mac} +1400 +up +10\\.7\\.0\\.9/24 +-\\n$`));
    const seen = await guest('cat /sys/class/net/lan0/address /sys/class/net/lan0/mtu; ip -4 -o addr show dev lan0');
    expect(seen).to.include(`${mac}\n1400\n`).and.to.include('10.7.0.9/24');
    const listed = (await nics()).find(({ id }) => id === 'lab');
    expect(listed?.guest).to.deep.include({ name: 'lan0', mac, mtu: 1400, up: true });
  });

  it('the new NIC carries traffic: a server of the host is reached by its gateway', async () => {
    const server = createServer((socket) => socket.end('from the host\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      expect(await guest(`nc -w 20 10.7.0.2 ${port} </dev/null`)).to.equal('from the host\n');
    } finally {
      server.close();
    }
  });

  it('nic add refuses what cannot be, and leaves the pod as it was', async () => {
    const before = await nics();
    for (const nic of ['net=nope', 'net=lab', 'id=lab,net=default', 'mtu=9000']) {
      const { code, stderr } = await sandbox.run(['nic', 'add', 'web', nic]);
      expect(code, nic).to.equal(125);
      expect(stderr, nic).to.match(/(NET_NOT_FOUND|NET_SPEC_INVALID|VM_NIC_EXISTS|POD_SPEC_INVALID)/);
    }
    expect(await nics()).to.deep.equal(before);
  });

  it('nic ls shows what was changed in the guest beside what is recorded', async () => {
    await guest('ip link set lan0 mtu 1300');
    expect(await hyperplug('nic', 'ls', 'web')).to.include('1300 (recorded: 1400)');
    await guest('ip link set lan0 mtu 1400');
  });

  it('nic set gives an address and takes it away, and renames', async () => {
    const rename = ['nic', 'set', 'web', 'lab', '--add-ip', '10.99.0.1/16', '--name', 'lan1'];
    if (driver.renamesBuiltin) {
      await hyperplug(...rename);
    } else {
      expect((await sandbox.run(rename)).stderr).to.include('NOT_SUPPORTED');
      await hyperplug(...rename.slice(0, -2));
    }
    expect(await guest(`ip -4 -o addr show dev ${lan}`))
      .to.include('10.99.0.1/16')
      .and.to.include('10.7.0.9/24');
    const row = await hyperplug('nic', 'set', 'web', 'lab', '--remove-ip', '10.99.0.1/16');
    expect(row).to.include(lan).and.not.to.include('10.99.0.1');
    expect(await guest(`ip -4 -o addr show dev ${lan}`)).not.to.include('10.99.0.1');
  });

  it('route add, ls and rm, as the guest has them', async () => {
    await hyperplug('route', 'add', 'web', '10.9.0.0/16', '--gateway', '10.7.0.2');
    expect(await guest('ip route')).to.include(`10.9.0.0/16 via 10.7.0.2 dev ${lan}`);
    const [ours] = (await routes()).filter(({ destination }) => destination === '10.9.0.0/16');
    expect(ours).to.deep.include({ gateway: '10.7.0.2', nic: 'lab', device: lan, origin: 'pod' });
    const subnet = (await routes()).find(({ destination }) => destination === '10.7.0.0/24');
    expect(subnet).to.deep.include({ origin: 'guest' });

    await guest('ip route del 10.9.0.0/16');
    expect(await hyperplug('route', 'ls', 'web')).to.match(/^10\.9\.0\.0\/16 +10\.7\.0\.2 .* pod +missing$/m);
    await hyperplug('route', 'rm', 'web', '10.9.0.0/16', '--gateway', '10.7.0.2');
    expect((await routes()).some(({ destination }) => destination === '10.9.0.0/16')).to.equal(false);
  });

  it('nothing that is recorded is called missing, the default route included', async () => {
    await hyperplug('route', 'add', 'web', 'default', '--nic', 'lab', '--metric', '500');
    const all = await routes();
    expect(all.filter(({ missing }) => missing)).to.deep.equal([]);
    expect(all.find(({ destination }) => destination === 'default')).to.deep.include({ gateway: '10.0.2.2' });
  });

  it('port add publishes on the running pod, port rm withdraws', async () => {
    const port = await freePort();
    expect(await hyperplug('port', 'add', 'web', `127.0.0.1:${port}:80`)).to.equal(`127.0.0.1:${port}->80/tcp\n`);
    await guest('echo hello >/tmp/index.html; httpd -p 80 -h /tmp');
    const answer = await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`)).text(), 60_000);
    expect(answer).to.equal('hello\n');
    expect(await hyperplug('port', 'ls', 'web')).to.match(
      new RegExp(`\n127\\.0\\.0\\.1:${port} +80 +tcp +eth-default\n`),
    );
    const second = await sandbox.run(['port', 'add', 'web', `127.0.0.1:${port}:81`]);
    expect([second.code, second.stderr.includes('NET_PORT_IN_USE')]).to.deep.equal([125, true]);

    expect(await hyperplug('port', 'rm', 'web', `${port}`)).to.equal(`127.0.0.1:${port}->80/tcp\n`);
    expect(await isListening(port)).to.equal(false);
    expect(await hyperplug('port', 'rm', 'web', `${port}`)).to.equal('');
    expect(await hyperplug('port', 'ls', 'web')).to.match(/^HOST[^\n]*\n$/);
  });

  it('what the network cannot do is NOT_SUPPORTED, with its name', async () => {
    const { code, stderr } = await sandbox.run(['port', 'add', 'web', '5000:5000/sctp']);
    expect(code).to.equal(125);
    expect(stderr).to.include('NOT_SUPPORTED').and.to.include('builtin-net');
  });

  it('a network with a pod in it is not torn down', async () => {
    const { code, stderr } = await sandbox.run(['net', 'teardown', 'lab']);
    expect(code).to.equal(125);
    expect(stderr).to.include('NET_IN_USE').and.to.include('web');
  });

  it('nic rm takes it away, and its slot is free again', async () => {
    for (let round = 0; round < 3; round++) {
      expect(await hyperplug('nic', 'rm', 'web', 'lab')).to.equal('lab\n');
      expect((await guest('ls /sys/class/net')).split(/\s+/).filter(Boolean).sort()).to.deep.equal(['lo', 'wan0']);
      if (round < 2) await hyperplug('nic', 'add', 'web', 'net=lab,id=lab,name=lan0');
    }
    expect((await nics()).map(({ id }) => id)).to.deep.equal(['eth-default']);
  });

  it('nic rm of one that is not there is told', async () => {
    const { code, stderr } = await sandbox.run(['nic', 'rm', 'web', 'lab']);
    expect([code, stderr.includes('VM_NIC_NOT_FOUND')]).to.deep.equal([125, true]);
  });
});

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
