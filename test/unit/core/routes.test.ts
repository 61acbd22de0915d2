import { expect } from 'chai';
import fc from 'fast-check';
import { parseMac, randomMac } from '../../../src/core/mac.js';
import { defaultRoutes } from '../../../src/core/vm/routes.js';

const nic = (mac: string, gateways: string[]) => ({
  mac,
  lease: { network: 'n', podId: 'p', nicId: 'i', addresses: [], gateways, dns: [], mtu: 1500 },
});

describe('defaultRoutes', () => {
  it('gives the first interface with a gateway the default route, one for each family', () => {
    expect(defaultRoutes([nic('a', []), nic('b', ['10.0.0.1', 'fd00::1']), nic('c', ['10.1.0.1'])])).to.deep.equal([
      { destination: 'default', gateway: '10.0.0.1', mac: 'b' },
      { destination: 'default', gateway: 'fd00::1', mac: 'b' },
    ]);
  });

  it('gives none where no interface has a gateway', () => {
    expect(defaultRoutes([nic('a', [])])).to.deep.equal([]);
  });
});

describe('randomMac', () => {
  it('is a locally administered unicast address that parseMac takes', () => {
    for (let i = 0; i < 200; i++) {
      const mac = randomMac();
      expect(parseMac(mac, 'mac')).to.equal(mac);
      expect(Number.parseInt(mac.slice(0, 2), 16) & 3).to.equal(2);
    }
  });

  it('varies in each of the 46 random bits', () => {
    let ones = 0n;
    let zeros = 0n;
    for (let i = 0; i < 400; i++) {
      const bits = BigInt(`0x${randomMac().replaceAll(':', '')}`);
      ones |= bits;
      zeros |= ~bits & 0xffff_ffff_ffffn;
    }
    expect(ones | (1n << 40n)).to.equal(0xffff_ffff_ffffn);
    expect(zeros | (1n << 41n)).to.equal(0xffff_ffff_ffffn);
  });

  it('never answers text that is no MAC with anything but POD_SPEC_INVALID', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          return /^[0-9a-f:]{17}$/.test(parseMac(text, 'mac'));
        } catch (error) {
          return (error as { code?: string }).code === 'POD_SPEC_INVALID';
        }
      }),
    );
  });
});
