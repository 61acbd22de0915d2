import { expect } from 'chai';
import fc from 'fast-check';
import { parseDestination, parseMetric, parseNic } from '../../../../src/cli/parse/nic.js';
import { isHyperplugError } from '../../../../src/core/errors.js';

const refused = (parse: (text: string) => unknown, text: string): string => {
  try {
    parse(text);
  } catch (error) {
    if (isHyperplugError(error) && error.code === 'CLI_USAGE') return `${error.message} ${error.details.fix ?? ''}`;
    throw error;
  }
  throw new Error(`${JSON.stringify(text)} was taken`);
};

describe('a NIC on the command line', () => {
  it('in the words of a pod specification', () => {
    expect(parseNic('net=lab,ip=10.0.0.5,ip=fd00::5,mac=52:54:00:12:34:56,mtu=1400,name=lan0,id=x')).to.deep.equal({
      network: 'lab',
      ip: ['10.0.0.5', 'fd00::5'],
      mac: '52:54:00:12:34:56',
      mtu: 1400,
      ifname: 'lan0',
      id: 'x',
    });
    expect(parseNic('gateway=none')).to.deep.equal({ gateway: false });
    expect(parseNic('tap=mytap,net=lab')).to.deep.equal({ network: 'lab', tap: 'mytap' });
    expect(parseNic('gateway=10.0.0.254,name=lo')).to.deep.equal({ gateway: '10.0.0.254', ifname: 'lo' });
  });
  it('refuses what is no key=value, a key twice, and values that cannot be', () => {
    for (const text of [
      '',
      'lab',
      'net=',
      '=lab',
      'net=lab,',
      'ip=10.0.0',
      'ip=10.0.0.1/33',
      'ip=::1/',
      'mtu=67',
      'mtu=x',
    ]) {
      refused(parseNic, text);
    }
    expect(refused(parseNic, 'net=a,net=b')).to.contain('net');
    expect(refused(parseNic, 'mac=zz')).to.contain('NIC: mac: expected a MAC address');
    expect(refused((text) => parseNic(text, '--nic'), 'mtu=x')).to.contain('--nic: mtu: expected');
    expect(refused(parseNic, 'name=much-too-long-name')).to.contain('NIC: name: expected an interface name');
    expect(refused(parseNic, 'tap=a/b')).to.contain('NIC: tap: expected an interface name');
    expect(refused(parseNic, 'id=Bad_id')).to.contain('NIC: id: expected lower-case letters');
    for (const text of ['gateway=no', 'gateway=10.0.0.1/24']) expect(refused(parseNic, text)).to.contain('or none');
  });
  it('says what was meant by a key that is unknown', () => {
    expect(refused(parseNic, 'nme=lan0')).to.contain('did you mean name?');
    expect(refused(parseNic, 'toString=1')).to.contain('expected one of net, ip');
  });
  it('any text is either taken or refused as a wrong command line', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseNic(text);
        } catch (error) {
          if (!isHyperplugError(error) || error.code !== 'CLI_USAGE') throw error;
        }
      }),
    );
  });
  it('addresses come back in their order, however many', () => {
    fc.assert(
      fc.property(fc.array(fc.ipV4(), { minLength: 1 }), (addresses) => {
        expect(parseNic(addresses.map((address) => `ip=${address}`).join(',')).ip).to.deep.equal(addresses);
      }),
    );
  });
});

describe('a route on the command line', () => {
  it('goes to default, a subnet or an address', () => {
    for (const text of ['default', '10.0.0.0/8', '10.0.0.1', 'fd00::/8']) expect(parseDestination(text)).to.equal(text);
    for (const text of ['', 'all', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/']) refused(parseDestination, text);
  });
  it('has a metric of 32 bits', () => {
    expect([parseMetric('0'), parseMetric('4294967295')]).to.deep.equal([0, 4_294_967_295]);
    for (const text of ['-1', '4294967296', 'x', '']) refused(parseMetric, text);
  });
});
