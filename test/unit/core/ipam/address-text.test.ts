import { isIPv4, isIPv6 } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { IPv4, IPv6 } from 'ip-num';
import {
  formatIpv4,
  formatIpv6,
  parseAddress,
  parseAddressWithPrefix,
  parseIpv4,
  parseIpv6,
} from '../../../../src/core/ipam/index.js';
import { throws } from '../../../support/rejects.js';

/** Text that comes close to being an address. */
const nearAddress = fc
  .array(fc.constantFrom(...'0123456789abcdefF:.:.::/% x'.split('')), { maxLength: 24 })
  .map((parts) => parts.join(''));

describe('address text', () => {
  it('round-trips every IPv4 address', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
        expect(parseIpv4(formatIpv4(value))).to.equal(value);
        expect(formatIpv4(value)).to.equal(new IPv4(BigInt(value)).toString());
      }),
    );
  });

  it('round-trips every IPv6 address, in the one form of RFC 5952', () => {
    const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
      minLength: 8,
      maxLength: 8,
    });
    fc.assert(
      fc.property(groups, (parts) => {
        const value = parts.reduce((sum, part) => (sum << 16n) | BigInt(part), 0n);
        const text = formatIpv6(value);
        expect(parseIpv6(text)).to.equal(value);
        expect(parseIpv6(parts.map((part) => part.toString(16).toUpperCase()).join(':'))).to.equal(value);
        expect(new IPv6(value).getValue()).to.equal(value);
        // WHATWG URLs are serialised by the same rules.
        expect(new URL(`http://[${text}]`).hostname).to.equal(`[${text}]`);
      }),
    );
  });

  it('takes what the standard library takes, octal look-alikes and zones apart', () => {
    fc.assert(
      fc.property(nearAddress, (text) => {
        expect(parseIpv4(text) !== undefined, text).to.equal(isIPv4(text));
        expect(parseIpv6(text) !== undefined, text).to.equal(isIPv6(text) && !text.includes('%'));
      }),
      { numRuns: 5_000 },
    );
  });

  it('writes the first of two equally long runs as ::, and a single zero group in full', () => {
    expect(formatIpv6(parseIpv6('2001:db8:0:0:1:0:0:1')!)).to.equal('2001:db8::1:0:0:1');
    expect(formatIpv6(parseIpv6('2001:db8:0:1:1:1:1:1')!)).to.equal('2001:db8:0:1:1:1:1:1');
    expect(formatIpv6(0n)).to.equal('::');
    expect(formatIpv6(1n)).to.equal('::1');
    expect(formatIpv6(1n << 112n)).to.equal('1::');
  });

  for (const text of [
    '',
    ' 10.0.0.1',
    '10.0.0.1 ',
    '010.0.0.1',
    '10.0.0.1/24',
    '10.1',
    '0x7f.0.0.1',
    '１0.0.0.1',
    ':1:',
    null,
    5,
  ]) {
    it(`refuses ${JSON.stringify(text)}, naming the field`, () => {
      throws(() => parseAddress(text, 'gateway'), 'IPAM_ADDRESS_INVALID', 'gateway: expected an IP address, got');
    });
  }

  it('says how to write a zone and an IPv4-mapped address', () => {
    throws(() => parseAddress('fe80::1%eth0', 'ip'), 'IPAM_ADDRESS_INVALID', 'without a zone');
    throws(() => parseAddress('::ffff:10.0.0.5', 'ip'), 'IPAM_ADDRESS_INVALID', '(10.0.0.5), not IPv4-mapped');
    throws(() => parseAddress('::FFFF:a00:5', 'ip'), 'IPAM_ADDRESS_INVALID', '(10.0.0.5), not IPv4-mapped');
  });

  it('takes a prefix length in plain decimal only', () => {
    expect(parseAddressWithPrefix('10.0.0.1/24', 'a')).to.deep.equal({
      family: 4,
      value: 0x0a000001n,
      prefixLength: 24,
    });
    expect(parseAddressWithPrefix('::1', 'a')).to.deep.equal({ family: 6, value: 1n });
    for (const text of [
      '10.0.0.1/33',
      '::1/129',
      '10.0.0.1/',
      '10.0.0.1/024',
      '10.0.0.1/ 8',
      '10.0.0.1/-1',
      '10.0.0.1/8/8',
    ]) {
      throws(() => parseAddressWithPrefix(text, 'a'), 'IPAM_ADDRESS_INVALID', 'a: expected a prefix length');
    }
  });
});
