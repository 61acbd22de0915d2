import { expect } from 'chai';
import fc from 'fast-check';
import { hasCode } from '../../../../src/core/errors.js';
import { parseMac, randomMac } from '../../../../src/core/mac.js';
import type { NicRecord } from '../../../../src/core/pod/record.js';
import { defaultRoutes, podRoutes } from '../../../../src/core/pod/routes.js';

const nic = (id: string, gateways: string[], gateway?: string | false) => ({ id, lease: { gateways }, gateway });

describe('defaultRoutes', () => {
  it('gives the first interface with a gateway the default route, one for each family', () => {
    const nics = [nic('a', []), nic('b', ['10.0.0.1', 'fd00::1']), nic('c', ['10.1.0.1'])];
    expect(defaultRoutes(nics, [])).to.deep.equal([
      { destination: 'default', gateway: '10.0.0.1', nic: 'b' },
      { destination: 'default', gateway: 'fd00::1', nic: 'b' },
    ]);
  });

  it('gives none where no interface has a gateway', () => {
    expect(defaultRoutes([nic('a', [])], [])).to.deep.equal([]);
  });

  it('takes a gateway that was given before any that follows from a network, and none where that was asked', () => {
    const nics = [nic('a', ['10.0.0.1'], false), nic('b', ['10.1.0.1']), nic('c', ['10.2.0.1'], '10.2.0.254')];
    expect(defaultRoutes(nics, [])).to.deep.equal([{ destination: 'default', gateway: '10.2.0.254', nic: 'c' }]);
  });

  it('gives a later interface none where the pod has one, and refuses a gateway that was given', () => {
    const routes = [{ destination: 'default', gateway: '10.0.0.1', nic: 'a' }];
    expect(defaultRoutes([nic('b', ['10.1.0.1', 'fd00::1'])], routes)).to.deep.equal([
      { destination: 'default', gateway: 'fd00::1', nic: 'b' },
    ]);
    try {
      defaultRoutes([nic('b', [], '10.1.0.1')], routes);
      expect.fail('it did not throw');
    } catch (error) {
      expect(hasCode(error, 'POD_SPEC_INVALID')).to.equal(true);
    }
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

describe('routes as users see them', () => {
  const mac = '52:54:00:00:00:01';
  const lan = { id: 'lan', kind: 'network', mac } as NicRecord;
  const guest = {
    links: [{ name: 'eth0', mac, addresses: [] }],
    routes: [
      { destination: 'default', device: 'eth0', metric: 0 },
      { destination: '10.7.0.0/24', device: 'eth0' },
    ],
  };

  it("are the guest's, each with its NIC and whether we set it", () => {
    expect(podRoutes(guest, [lan], [{ destination: '0.0.0.0/0', nic: 'lan' }])).to.deep.equal([
      { destination: 'default', nic: 'lan', device: 'eth0', metric: 0, origin: 'pod' },
      { destination: '10.7.0.0/24', nic: 'lan', device: 'eth0', origin: 'guest' },
    ]);
  });
  it('and those that we set and that it lacks', () => {
    const ours = [{ destination: '10.7.0.0/24', gateway: '10.0.0.1', nic: 'lan' }];
    expect(podRoutes(guest, [lan], ours).at(-1)).to.deep.equal({ ...ours[0], origin: 'pod', missing: true });
  });
});
