import { expect } from 'chai';
import { isHyperplugError } from '../../../../src/core/errors.js';
import { type PodDefaults, parsePodSpec } from '../../../../src/core/pod/spec.js';

const defaults: PodDefaults = { cpus: 1, memoryMib: 128, nicSlots: 4, network: 'default' };

function refusal(input: unknown): { field: unknown; message: string } {
  try {
    parsePodSpec(input, defaults);
  } catch (error) {
    if (isHyperplugError(error) && error.code === 'POD_SPEC_INVALID')
      return { field: error.details.field, message: error.message };
    throw error;
  }
  throw new Error('expected POD_SPEC_INVALID');
}

describe('parsePodSpec', () => {
  it("takes hyperd's white lists, each network once and canonical; without an entry they restrict nobody", () => {
    const lists = {
      internalNetworks: ['10.0.0.0/8', 'FD00::/64', '10.0.0.0/8'],
      externalNetworks: ['192.0.2.7', '2001:db8::1'],
    };
    const { allow, json } = parsePodSpec({ portmappingWhiteLists: lists }, defaults);
    const external = ['192.0.2.7/32', '2001:db8::1/128'];
    expect(allow).to.deep.equal({ internal: ['10.0.0.0/8', 'fd00::/64'], external });
    expect(parsePodSpec(json, defaults).allow, 'as written down').to.deep.equal(allow);
    for (const none of [undefined, null, {}, { internalNetworks: [], externalNetworks: null }])
      expect(parsePodSpec({ portmappingWhiteLists: none }, defaults).allow).to.equal(undefined);
  });

  it('refuses white lists that name no networks, or hosts within them', () => {
    for (const [wrong, word] of [
      ['10.0.0.1/8', '10.0.0.0/8'],
      ['office', 'subnet'],
      ['10.0.0.0/33', '32'],
    ] as const) {
      const { field, message } = refusal({ portmappingWhiteLists: { externalNetworks: [wrong] } });
      expect(field).to.equal('portmappingWhiteLists.externalNetworks[0]');
      expect(message).to.include(word).and.include(wrong);
    }
    expect(refusal({ portmappingWhiteLists: { internal: [] } }).message).to.include('internal');
  });

  it('fills every default and adds one default interface', () => {
    const spec = parsePodSpec({}, defaults);
    expect(spec.id).to.match(/^pod-[0-9a-f]{10}$/);
    expect(spec).to.deep.include({
      hostname: spec.id,
      cpus: 1,
      memoryMib: 128,
      keep: false,
      nicSlots: 4,
      dns: [],
      labels: {},
    });
    expect(spec.interfaces).to.deep.equal([
      {
        id: 'eth-default',
        kind: 'network',
        network: 'default',
        addresses: [],
        mac: undefined,
        mtu: undefined,
        name: undefined,
        gateway: undefined,
        tap: undefined,
        ports: [],
      },
    ]);
    expect(Object.isFrozen(spec.interfaces[0])).to.equal(true);
  });

  it("takes hyperd's field names", () => {
    const spec = parsePodSpec(
      {
        id: 'web',
        hostname: 'web.example',
        resource: { vcpu: 2, memory: 256 },
        interfaces: [
          { ip: '10.0.2.20', mac: '52-54-00-AA-BB-CC', ifname: 'net0' },
          { id: 'back', ip: ['10.0.3.4', 'fd00::4'] },
        ],
        dns: ['9.9.9.9'],
        portmappings: [
          { hostPort: '8080-8082', containerPort: '80-82', protocol: 'udp' },
          { hostPort: 2222, containerPort: 22, hostAddress: '127.0.0.1', interface: 'back' },
        ],
        labels: { tier: 'front' },
      },
      defaults,
    );
    expect(spec.interfaces[0]).to.deep.equal({
      id: 'eth-default',
      kind: 'network',
      network: 'default',
      addresses: ['10.0.2.20'],
      mac: '52:54:00:aa:bb:cc',
      mtu: undefined,
      name: 'net0',
      gateway: undefined,
      tap: undefined,
      ports: [{ protocol: 'udp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 3 }],
    });
    expect(spec.interfaces[1]?.addresses).to.deep.equal(['10.0.3.4', 'fd00::4']);
    expect(parsePodSpec({ interfaces: [{ tap: 'mytap' }] }, defaults).interfaces[0]?.tap).to.equal('mytap');
    expect(spec.interfaces[1]?.ports[0]).to.deep.include({ hostPort: 2222, count: 1, hostAddress: '127.0.0.1' });
  });

  it('one port of the host may lead to a range, and comes back as it was written', () => {
    const given = {
      portmappings: [
        { hostPort: '7000', containerPort: '80-83' },
        { hostPort: 7001, containerPort: '9-9' },
      ],
    };
    const spec = parsePodSpec(given, defaults);
    const port = { protocol: 'tcp', hostAddress: '0.0.0.0', count: 1 };
    expect(spec.interfaces[0]?.ports).to.deep.equal([
      { ...port, hostPort: 7000, guestPort: 80, guestCount: 4 },
      { ...port, hostPort: 7001, guestPort: 9 },
    ]);
    const { portmappings } = spec.json as { portmappings: { containerPort: unknown }[] };
    expect(portmappings.map(({ containerPort }) => containerPort)).to.deep.equal(['80-83', 9]);
    expect(parsePodSpec(spec.json, defaults).interfaces).to.deep.equal(spec.interfaces);
  });

  const wrong: [string, unknown, string, RegExp][] = [
    ['an unknown field', { volume: [] }, 'volume', /unknown field \(did you mean "volumes"\?\)/],
    ['one below', { containers: [{ image: '/x', comand: [] }] }, 'containers[0].comand', /did you mean "command"/],
    ['an id that is no name', { id: 'Web_1' }, 'id', /"Web_1" \(string\)/],
    ['a memory that is no number', { resource: { memory: '128' } }, 'resource.memory', /"128" \(string\)/],
    [
      'a name server that is no address',
      { dns: ['9.9.9.9', 'one.one'] },
      'dns[1]',
      /an IPv4 or IPv6 address, got "one.one"/,
    ],
    ['a field of every object', { constructor: 1 }, 'constructor', /unknown field/],
    ['no CPU', { resource: { vcpu: 0 } }, 'resource.vcpu', /0 \(number\)/],
    ['a multicast MAC', { interfaces: [{ mac: '01:00:5e:00:00:01' }] }, 'interfaces[0].mac', /unicast/],
    ['a MAC of five octets', { interfaces: [{ mac: '52:54:00:00:01' }] }, 'interfaces[0].mac', /52:54:00:00:01/],
    [
      'a MAC twice',
      { interfaces: [{ mac: '52:54:00:00:00:01' }, { mac: '52:54:00:00:00:01' }] },
      'interfaces[1].mac',
      /own/,
    ],
    ['an interface id twice', { interfaces: [{ id: 'a' }, { id: 'a' }] }, 'interfaces[1].id', /own/],
    ['a name longer than IFNAMSIZ', { interfaces: [{ ifname: 'sixteen-letters-' }] }, 'interfaces[0].ifname', /15/],
    [
      'ranges of unlike length',
      { portmappings: [{ hostPort: '1-3', containerPort: '1-2' }] },
      'portmappings[0].containerPort',
      /a range of 3 ports, as hostPort \(ranges are N:N or 1:N, never M:N\), got "1-2"/,
    ],
    [
      'several ports of the host for one of the pod',
      { portmappings: [{ hostPort: '1-3', containerPort: 1 }] },
      'portmappings[0].containerPort',
      /3 ports.*N:N or 1:N/,
    ],
    [
      'a port above 65535',
      { portmappings: [{ hostPort: 65536, containerPort: 80 }] },
      'portmappings[0].hostPort',
      /65536/,
    ],
    [
      'a range backwards',
      { portmappings: [{ hostPort: '9-8', containerPort: '9-8' }] },
      'portmappings[0].hostPort',
      /9-8/,
    ],
    [
      'a host port twice',
      {
        portmappings: [{ hostPort: '8080-8089', containerPort: '80-89' }],
        containers: [{ command: 'id', ports: [{ hostPort: 8085, containerPort: 1 }] }],
      },
      'containers[0].ports[0].hostPort',
      /another tcp port than portmappings\[0\] has, got 8085/,
    ],
    [
      'a host name for an address',
      { portmappings: [{ hostAddress: 'localhost', hostPort: 1, containerPort: 1 }] },
      'portmappings[0].hostAddress',
      /localhost/,
    ],
    [
      'a port of no interface',
      { portmappings: [{ hostPort: 1, containerPort: 1, interface: 'x' }] },
      'portmappings[0].interface',
      /eth-default/,
    ],
    ['a list', [], 'pod', /array/],
    [
      'a network of no name',
      { interfaces: [{ network: '' }] },
      'interfaces[0].network',
      /^interfaces\[0\]\.network: expected the name of a network, got ""/,
    ],
    ['too many CPUs', { resource: { vcpu: 0 } }, 'resource.vcpu', /^resource.vcpu: expected at least 1, got 0/],
    [
      'a volume in detail that is another by that name',
      {
        volumes: [{ name: 'data', sizeMib: 32 }],
        containers: [{ command: 'id', volumes: [{ path: '/d', detail: { name: 'data', source: '/srv' } }] }],
      },
      'containers[0].volumes[0].detail',
      /srv/,
    ],
    [
      'a volume named otherwise than in its detail',
      { containers: [{ command: 'id', volumes: [{ path: '/d', volume: 'b', detail: { name: 'a' } }] }] },
      'containers[0].volumes[0].volume',
      /expected a,/,
    ],
    [
      'a file named otherwise than in its detail',
      { containers: [{ command: 'id', files: [{ path: '/d', filename: 'b', detail: { name: 'a' } }] }] },
      'containers[0].files[0].filename',
      /expected a,/,
    ],
  ];
  for (const [title, input, field, message] of wrong) {
    it(`refuses ${title}, naming the field and the value`, () => {
      const error = refusal(input);
      expect(error.field).to.equal(field);
      expect(error.message).to.match(message);
    });
  }

  it('`network` is that of the interfaces that name none, and `none` is no NIC at all', () => {
    const networks = (input: object) => parsePodSpec(input, defaults).interfaces.map(({ network }) => network);
    expect(networks({ network: 'lab' })).to.deep.equal(['lab']);
    expect(networks({ network: 'lab', interfaces: [{}, { network: 'dmz' }] })).to.deep.equal(['lab', 'dmz']);
    expect(networks({ interfaces: [] })).to.deep.equal(['default']);
    const none = parsePodSpec({ id: 'alone', network: 'none' }, defaults);
    expect(none.interfaces).to.deep.equal([]);
    expect(parsePodSpec(none.json, defaults)).to.deep.equal(none);
    expect(networks({ network: 'none', interfaces: [{ ifname: 'lo', ip: '10.9.9.9' }] })).to.have.length(1);
    expect(refusal({ network: 'none', interfaces: [{}] }).field).to.equal('interfaces[0]');
    const port = { hostPort: 1, containerPort: 1 };
    expect(refusal({ network: 'none', portmappings: [port] }).field).to.equal('portmappings');
  });

  it('a volume may be described again where it is used, as it is', () => {
    const data = { name: 'data', sizeMib: 32 };
    const volumes = [{ path: '/d', volume: 'data', detail: data }];
    const containers = [
      { name: 'a', command: 'id', volumes },
      { name: 'b', command: 'id', volumes },
    ];
    const spec = parsePodSpec({ volumes: [{ ...data, path: '/own' }], containers }, defaults);
    expect(spec.volumes.map(({ name }) => name)).to.deep.equal(['data']);
  });
  it('is read again as it was from what is recorded of it, a tap of the user among it', () => {
    const interfaces = [
      { ip: '10.0.0.2/24', mac: '02:00:00:00:00:01', mtu: 1400, ifname: 'lan', gateway: false, tap: 'mine0' },
    ];
    const spec = parsePodSpec({ id: 'web', interfaces }, defaults);
    expect(spec.interfaces[0]?.tap).to.equal('mine0');
    expect(parsePodSpec(spec.json, defaults)).to.deep.equal(spec);
  });
  it('gives each pod an id of its own', () => {
    const ids = new Set(Array.from({ length: 1000 }, () => parsePodSpec({}, defaults).id));
    expect(ids.size).to.equal(1000);
  });
});
