import { expect } from 'chai';
import { IPv4, IPv4CidrRange, IPv6CidrRange } from 'ip-num';
import { layoutFromText, layoutOf, parseRange, parseSubnet, subnetOf } from '../../../../src/core/ipam/index.js';
import { throws } from '../../../support/rejects.js';

describe('subnets', () => {
  it('have one key, whichever address names them', () => {
    for (const text of ['10.1.2.0/24', '10.1.2.1/24', '10.1.2.255/24']) {
      expect(subnetOf(IPv4CidrRange.fromCidr(text)).key).to.equal('10.1.2.0/24');
      expect(parseSubnet(text, 'subnet').key).to.equal('10.1.2.0/24');
    }
    for (const text of ['fd00::/64', 'FD00:0::5/64', 'fd00:0:0:0:ffff::/64']) {
      expect(subnetOf(IPv6CidrRange.fromCidr(text)).key).to.equal('fd00::/64');
      expect(parseRange(text, 'subnet').toCidrString()).to.match(/^fd00:.*\/64$/);
    }
  });

  it('are refused with the field and the reason', () => {
    throws(
      () => parseSubnet('10.0.0.0', 'network'),
      'IPAM_SUBNET_INVALID',
      'network: expected a network with its prefix length',
    );
    throws(() => parseSubnet('10.0.0/24', 'network', 'NET_SPEC_INVALID'), 'NET_SPEC_INVALID', 'network: expected');
    throws(() => subnetOf(IPv4CidrRange.fromCidr('0.0.0.0/0')), 'IPAM_SUBNET_INVALID', '/8 or longer', '0.0.0.0/0');
    throws(() => subnetOf(IPv6CidrRange.fromCidr('fd00::/63')), 'IPAM_SUBNET_INVALID', '/64 or longer');
    for (const bad of [undefined, null, {}, '10.0.0.0/24', { getFirst: () => ({}) }]) {
      throws(() => subnetOf(bad as never, 'range'), 'IPAM_SUBNET_INVALID', 'range: expected an IPv4CidrRange');
    }
  });

  it('reserve their edges, none in /31, /32, /127 and /128', () => {
    const of = (text: string) => {
      const { first, last, reserved, capacity } = layoutOf({ range: parseRange(text, 'r'), reserved: [] });
      return [first, last, reserved, capacity];
    };
    expect(of('10.0.0.0/30')).to.deep.equal([0n, 3n, [0n, 3n], 2n]);
    expect(of('10.0.0.0/31')).to.deep.equal([0n, 1n, [], 2n]);
    expect(of('10.0.0.7/32')).to.deep.equal([0n, 0n, [], 1n]);
    expect(of('fd00::/126')).to.deep.equal([0n, 3n, [0n], 3n]);
    expect(of('fd00::/127')).to.deep.equal([0n, 1n, [], 2n]);
    expect(of('fd00::7/128')).to.deep.equal([0n, 0n, [], 1n]);
  });

  it('come back from their text', () => {
    const range = parseRange('10.0.0.0/24', 'r');
    const restrictTo = parseRange('10.0.0.64/26', 'r');
    const layout = layoutOf({ range, restrictTo, reserved: [new IPv4('10.0.0.70'), new IPv4('10.0.0.1')] });
    expect(layoutFromText('10.0.0.0/24', '10.0.0.64/26', ['10.0.0.1', '10.0.0.70'])).to.deep.equal(layout);
    expect(layout.capacity).to.equal(63n);
    expect(layoutOf({ range, restrictTo: range, reserved: [] }).restrictTo).to.equal(null);
  });
});
