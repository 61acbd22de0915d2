import { expect } from 'chai';
import fc from 'fast-check';
import { overlap, parseSubnet, type Subnet } from '../../../../src/core/config/subnet.js';

const good = (text: string): Subnet => {
  const parsed = parseSubnet(text);
  if ('expected' in parsed) throw new Error(`${text}: ${parsed.expected}`);
  return parsed;
};

describe('parseSubnet', () => {
  it('gives the canonical text', () => {
    expect(good('10.0.0.0/8').text).to.equal('10.0.0.0/8');
    expect(good('FD00:0:0::0/64').text).to.equal('fd00::/64');
    expect(good('::/0').text).to.equal('::/0');
    expect(good('::ffff:10.0.0.0/104').text).to.equal('::ffff:10.0.0.0/104');
    expect(good('0.0.0.0/0')).to.deep.include({ family: 4, prefixLength: 0, last: 0xffffffffn });
  });

  for (const text of [
    '',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0/8',
    'fe80::%eth0/64',
    'x/8',
    '::/129',
    ' ::/0',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(parseSubnet(text)).to.have.property('expected');
    });
  }

  it('refuses host bits and names the network that was meant', () => {
    expect(parseSubnet('10.1.2.3/24')).to.deep.equal({ expected: 'a network address, such as 10.1.2.0/24' });
    expect(parseSubnet('fd00::1/64')).to.deep.equal({ expected: 'a network address, such as fd00::/64' });
  });

  const subnets = fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(32)).map(([address, prefix]) => `${address}/${prefix}`),
    fc.tuple(fc.ipV6(), fc.nat(128)).map(([address, prefix]) => `${address}/${prefix}`),
  );

  it('names a network that it then accepts unchanged', () => {
    fc.assert(
      fc.property(subnets, (text) => {
        const parsed = parseSubnet(text);
        const network = 'expected' in parsed ? parsed.expected.replace('a network address, such as ', '') : parsed.text;
        expect(good(network).text).to.equal(network);
        const { first, last, family, prefixLength } = good(network);
        expect(last - first + 1n).to.equal(1n << BigInt((family === 4 ? 32 : 128) - prefixLength));
      }),
    );
  });

  it('finds overlaps both ways, never between families', () => {
    expect(overlap(good('10.0.0.0/8'), good('10.1.0.0/16'))).to.equal(true);
    expect(overlap(good('10.1.0.0/16'), good('10.0.0.0/8'))).to.equal(true);
    expect(overlap(good('10.0.0.0/24'), good('10.0.1.0/24'))).to.equal(false);
    expect(overlap(good('0.0.0.0/0'), good('::/0'))).to.equal(false);
  });
});
