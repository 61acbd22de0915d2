import { expect } from 'chai';
import type { VmNic } from '../../../../src/core/hypervisor.js';
import { type MachinePlan, qemuArgs } from '../../../../src/plugins/qemu/argv.js';
import { hostTscKhz, kernelCommandLine } from '../../../../src/plugins/qemu/kernel-command-line.js';
import { keyval } from '../../../../src/plugins/qemu/keyval.js';

const nic: VmNic = {
  id: 'eth-default',
  mac: '52:54:00:12:34:56',
  mtu: 1400,
  queues: 1,
  endpoint: {
    kind: 'builtin',
    ipv4: { subnet: '10.0.2.0/24', gateway: '10.0.2.2', dns: '10.0.2.3', guest: '10.0.2.15' },
    ipv6: { subnet: 'fd00:1::/64', gateway: 'fd00:1::2', dns: 'fd00:1::3', guest: 'fd00:1::f' },
    forwards: [80, 81].map((guestPort) => ({
      protocol: 'tcp' as const,
      hostAddress: '127.0.0.1',
      hostPort: 8000 + guestPort,
      guestAddress: '10.0.2.15',
      guestPort,
    })),
    restricted: true,
  },
};

const plan: MachinePlan = {
  name: 'hyperplug a /run/a,b',
  machine: 'q35',
  accelerator: 'tcg',
  cpuModel: 'max,-svm',
  cpus: 2,
  template: undefined,
  memoryMib: 256,
  firmware: undefined,
  firmwareArgs: ['-L', '/x'],
  kernelPath: '/proc/self/fd/5',
  initramfsPath: '/proc/self/fd/6',
  commandLine: 'console=ttyS0 panic=1',
  consoleFd: 4,
  channels: [
    { name: 'a', socketPath: '/s,/c0' },
    { name: 'b', socketPath: '/s/c1' },
  ],
  monitors: [
    { path: '/s/launch', mode: 'connect' },
    { path: '/s/qmp', mode: 'listen' },
  ],
  nics: [nic],
  slots: 3,
  entropyDevice: true,
  disks: [],
  shares: [],
};

/** Values of an option, in order. */
const all = (argv: readonly string[], option: string) => argv.filter((_, index) => argv[index - 1] === option);

describe('QEMU arguments', () => {
  const argv = qemuArgs(plan);

  it('confines: no defaults, no configuration of the user, a sandbox, paused at first', () => {
    expect(argv).to.include.members(['-nodefaults', '-no-user-config', '-no-reboot', '-S']);
    expect(all(argv, '-sandbox')).to.deep.equal([
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ]);
  });

  it('doubles commas in values and leaves those of a CPU model', () => {
    expect(all(argv, '-name')).to.deep.equal(['guest=hyperplug a /run/a,,b']);
    expect(all(argv, '-cpu')).to.deep.equal(['max,-svm']);
    expect(all(argv, '-chardev')).to.include('socket,id=channel0,path=/s,,/c0,server=on,wait=off');
  });

  it('connects to the launching manager and listens for an adopting one', () => {
    expect(all(argv, '-chardev')).to.include('socket,id=monitor0,path=/s/launch');
    expect(all(argv, '-chardev')).to.include('socket,id=monitor1,path=/s/qmp,server=on,wait=off');
    expect(all(argv, '-mon')).to.deep.equal(['chardev=monitor0,mode=control', 'chardev=monitor1,mode=control']);
  });

  it('makes a port per channel, by name', () => {
    const ports = all(argv, '-device').filter((each) => each.startsWith('virtserialport'));
    expect(ports).to.deep.equal([
      'virtserialport,bus=serial.0,nr=1,chardev=channel0,name=a',
      'virtserialport,bus=serial.0,nr=2,chardev=channel1,name=b',
    ]);
    expect(qemuArgs({ ...plan, channels: [] }).join(' ')).to.not.include('virtio-serial');
  });

  it('makes a root port per slot on q35 and none on pc', () => {
    const ports = (args: string[]) => all(args, '-device').filter((each) => each.startsWith('pcie-root-port'));
    expect(ports(argv)).to.deep.equal(
      [0, 1, 2].map((slot) => `pcie-root-port,id=slot${slot},bus=pcie.0,chassis=${slot + 1},slot=${slot + 1}`),
    );
    expect(ports(qemuArgs({ ...plan, machine: 'pc' }))).to.deep.equal([]);
    expect(ports(qemuArgs({ ...plan, slots: 0, nics: [] }))).to.deep.equal([]);
  });

  it('has no device that nobody uses, and tells a guest by ACPI that it is a copy only where that is quick', () => {
    expect(all(argv, '-machine')[0]).to.match(/^q35,accel=tcg,sata=off,smbus=off/);
    expect(all(qemuArgs({ ...plan, machine: 'pc' }), '-machine')[0]).to.not.match(/sata|smbus/);
    const template = { memoryPath: '/m', role: 'clone' } as const;
    const of = (accelerator: 'kvm' | 'tcg') => all(qemuArgs({ ...plan, accelerator, template }), '-device');
    expect(of('kvm')).to.include('vmgenid,guid=auto');
    expect(of('tcg').join(' ')).to.not.include('vmgenid');
  });

  it('gives a clone the ROM of its kernel in place of the kernel', () => {
    expect(all(argv, '-option-rom')).to.deep.equal([]);
    const clone = qemuArgs({ ...plan, bootRom: 'pvh.bin', template: { memoryPath: '/m', role: 'clone' } });
    expect(all(clone, '-option-rom')).to.deep.equal(['pvh.bin']);
    for (const option of ['-kernel', '-initrd', '-append']) expect(clone).to.not.include(option);
  });

  it('says all of a user network, both families, forwards and MTU', () => {
    expect(all(argv, '-netdev')).to.deep.equal([
      'user,id=net0,ipv4=on,net=10.0.2.0/24,host=10.0.2.2,dns=10.0.2.3,dhcpstart=10.0.2.15,' +
        'ipv6=on,ipv6-prefix=fd00:1::,ipv6-prefixlen=64,ipv6-host=fd00:1::2,ipv6-dns=fd00:1::3,restrict=on,' +
        'hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80,hostfwd=tcp:127.0.0.1:8081-10.0.2.15:81',
    ]);
    const device = all(argv, '-device').find((each) => each.startsWith('virtio-net-pci'));
    expect(device).to.include('id=nic0.eth-default,netdev=net0,mac=52:54:00:12:34:56,host_mtu=1400,');
    expect(all(argv, '-global')).to.include('driver=virtio-net-pci,property=romfile,value=');
    expect(device).to.match(/,bus=slot0$/);
  });

  it('gives taps by the descriptors they are inherited as, several queues with what they need', () => {
    const tap = (fds: readonly number[]) => ({
      ...nic,
      queues: fds.length,
      endpoint: { kind: 'tap-fd' as const, fds, vnetHdr: true },
    });
    const args = qemuArgs({ ...plan, slots: 2, nics: [tap([7]), tap([8, 9])] });
    expect(all(args, '-netdev')).to.deep.equal(['tap,id=net0,fd=7', 'tap,id=net1,fds=8:9']);
    const devices = all(args, '-device').filter((each) => each.startsWith('virtio-net-pci'));
    expect(all(args, '-global')).to.include('driver=virtio-net-pci,property=ctrl_vq,value=off');
    expect(devices[0]).to.not.match(/ctrl_vq|mq=/);
    expect(devices[1]).to.include('ctrl_vq=on').and.include('mq=on,vectors=6');
  });

  it('escapes whatever stands in a value', () => {
    expect(keyval('a', { b: ',,', c: undefined, d: false, e: ['1', '2'], f: 3 })).to.equal(
      'a,b=,,,,,d=off,e=1,e=2,f=3',
    );
  });
});

describe('kernel command line', () => {
  const facts = { accelerator: 'tcg', machine: 'q35', tuning: 'fast', tscKhz: 2_600_000, extra: ['a=b'] } as const;

  it('says the emulation-only words under TCG alone', () => {
    for (const word of ['noapictimer', 'mitigations=off', 'tsc_early_khz=2600000']) {
      expect(kernelCommandLine(facts).split(' ')).to.include(word);
      expect(kernelCommandLine({ ...facts, accelerator: 'kvm' }).split(' ')).to.not.include(word);
    }
  });

  it('tells no clock that is not known', () => {
    expect(kernelCommandLine({ ...facts, tscKhz: undefined })).to.not.include('tsc');
  });

  it("ends with the caller's words, which so overrule ours", () => {
    expect(kernelCommandLine(facts)).to.match(/ a=b$/);
    expect(kernelCommandLine({ ...facts, tuning: 'none' })).to.equal('console=ttyS0 panic=1 a=b');
  });
});

describe("the host's TSC", () => {
  const cpuinfo = (flags: string, mhz = '2596.136') =>
    `processor\t: 0\ncpu MHz\t\t: ${mhz}\nflags\t\t: fpu tsc ${flags}\n`;

  it('is what cpuinfo says where the kernel shows the calibrated clock', () => {
    expect(hostTscKhz(cpuinfo('constant_tsc'), false)).to.equal(2_596_136);
  });

  it("is unknown where cpuinfo shows the core's clock of the moment", () => {
    expect(hostTscKhz(cpuinfo('constant_tsc'), true)).to.equal(undefined);
    expect(hostTscKhz(cpuinfo('constant_tsc aperfmperf'), false)).to.equal(undefined);
    expect(hostTscKhz(cpuinfo('nonstop_tsc'), false)).to.equal(undefined);
    expect(hostTscKhz(cpuinfo('constant_tsc', 'unknown'), false)).to.equal(undefined);
    expect(hostTscKhz('', false)).to.equal(undefined);
  });
});
