import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { decodeMessages, encodeMessage, NLM_F, RTM } from '../../../../src/host/netlink/codec/messages.js';

interface Capture {
  readonly command: string;
  /** Hexadecimal: the last message that iproute2 6.1 sent for this command, as strace(1) saw it. */
  readonly message: string;
}

const captures: Capture[] = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/ip-netlink.json', import.meta.url), 'utf8'),
);

/** Message type, fixed part and attributes, as far as they are meant. */
const EXPECTED: Record<string, [type: number, header: object, attributes: object]> = {
  'link add br0 address 02:00:00:00:00:01 mtu 1400 type bridge forward_delay 0 stp_state 0': [
    RTM.NEWLINK,
    {},
    {
      ifname: 'br0',
      address: '02:00:00:00:00:01',
      mtu: 1400,
      linkinfo: { kind: 'bridge', data: { forwardDelay: 0, stpState: 0 } },
    },
  ],
  'link set br0 up': [RTM.NEWLINK, { index: 2, flags: 1, change: 1 }, {}],
  'address add 192.168.123.1/24 dev br0': [
    RTM.NEWADDR,
    { family: 2, prefixLength: 24, index: 2 },
    { local: '192.168.123.1', address: '192.168.123.1' },
  ],
  'address add fd00:123::1/64 dev br0 nodad': [
    RTM.NEWADDR,
    { family: 10, prefixLength: 64, index: 2, flags: 2 },
    { local: 'fd00:123::1', address: 'fd00:123::1' },
  ],
  'link set v0 master br0 mtu 1300 up': [RTM.NEWLINK, { index: 4, flags: 1, change: 1 }, { master: 2, mtu: 1300 }],
  'link set v0 alias hyperplug pod p nic n': [RTM.NEWLINK, { index: 4 }, { ifalias: 'hyperplug pod p nic n' }],
  'link set v0 group 4711': [RTM.NEWLINK, { index: 4 }, { group: 4711 }],
  'link add mv0 link v1 address 02:00:00:00:00:07 type macvtap mode private': [
    RTM.NEWLINK,
    {},
    { ifname: 'mv0', link: 3, address: '02:00:00:00:00:07', linkinfo: { kind: 'macvtap', data: { mode: 1 } } },
  ],
  'link add vx0 type vxlan id 42 remote 192.0.2.9 dstport 4789': [
    RTM.NEWLINK,
    {},
    { ifname: 'vx0', linkinfo: { kind: 'vxlan', data: { id: 42, group: '192.0.2.9', learning: 1, port: 4789 } } },
  ],
  'route add 10.9.0.0/16 via 192.168.123.2 metric 7': [
    RTM.NEWROUTE,
    { family: 2, destinationLength: 16, table: 254 },
    { destination: '10.9.0.0', gateway: '192.168.123.2', priority: 7 },
  ],
  'neighbour add 192.168.123.9 lladdr 02:00:00:00:00:09 dev br0': [
    RTM.NEWNEIGH,
    { family: 2, index: 2 },
    { destination: '192.168.123.9', lladdr: '02:00:00:00:00:09' },
  ],
  'address delete 192.168.123.1/24 dev br0': [
    RTM.DELADDR,
    { family: 2, prefixLength: 24, index: 2 },
    { local: '192.168.123.1', address: '192.168.123.1' },
  ],
  'link delete vx0': [RTM.DELLINK, { index: 6 }, {}],
};

describe('what ip(8) sends', () => {
  for (const { command, message } of captures) {
    const expected = EXPECTED[command.replace(/^ip /, '')];
    if (!expected) continue;
    it(`${command} is read as it was meant, and written as ip writes it`, () => {
      const bytes = Buffer.from(message, 'hex');
      const [decoded] = decodeMessages(bytes);
      const [type, header, attributes] = expected;
      expect(decoded?.type).to.equal(type);
      expect(decoded?.flags).to.satisfy((flags: number) => (flags & (NLM_F.REQUEST | NLM_F.ACK)) === 5);
      expect(decoded?.header).to.deep.include(header);
      expect(decoded?.attributes).to.deep.equal(attributes);
      // Our encoding is read as the same; and byte for byte but for the marks of nests (NLA_F_NESTED), which ip leaves out.
      const { flags, sequence, header: fixed } = decoded as NonNullable<typeof decoded>;
      const ours = encodeMessage({ type, flags, header: fixed, attributes: { ...attributes } }, sequence);
      expect(decodeMessages(ours)[0]?.attributes).to.deep.equal(attributes);
      expect(ours.length, 'length')
        .to.be.at.least(bytes.length - 4)
        .and.at.most(bytes.length + 4);
    });
  }

  it('all of them are looked at, but for the veth, whose peer is a message within', () => {
    const commands = captures.map(({ command }) => command.replace(/^ip /, ''));
    expect(commands.filter((command) => !EXPECTED[command])).to.deep.equal(['link add v0 type veth peer name v1']);
    expect(Object.keys(EXPECTED).filter((command) => !commands.includes(command))).to.deep.equal([]);
  });
});
