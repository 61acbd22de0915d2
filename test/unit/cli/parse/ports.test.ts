import { isIP } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { parsePortSelector, parsePublish } from '../../../../src/cli/parse/ports.js';
import { hasCode } from '../../../../src/core/errors.js';
import { parsePortRange } from '../../../../src/core/pod/ports.js';

const refused = (given: string) => {
  try {
    parsePublish(given);
  } catch (error) {
    return hasCode(error, 'CLI_USAGE');
  }
  return false;
};

describe('--publish', () => {
  it('takes ports, ranges, addresses and protocols', () => {
    expect(parsePublish('8080:80')).to.deep.equal({ hostPort: '8080', containerPort: '80', protocol: 'tcp' });
    expect(parsePublish('53:53/udp')).to.include({ protocol: 'udp' });
    expect(parsePublish('53:53/sctp')).to.include({ protocol: 'sctp' });
    expect(parsePublish('53:53/UDP')).to.include({ protocol: 'udp' });
    expect(parsePublish('8080-8090:80-90')).to.include({ hostPort: '8080-8090', containerPort: '80-90' });
    expect(parsePublish('7000:80-83')).to.include({ hostPort: '7000', containerPort: '80-83' });
    expect(parsePublish('127.0.0.1:8080:80')).to.include({ hostAddress: '127.0.0.1' });
    expect(parsePublish('[::1]:8080:80')).to.include({ hostAddress: '::1', hostPort: '8080' });
    expect(parsePublish('[::]:1-2:3-4/udp')).to.deep.equal({
      hostAddress: '::',
      hostPort: '1-2',
      containerPort: '3-4',
      protocol: 'udp',
    });
  });

  it('refuses the rest, and says what it wants', () => {
    const wrong = [
      '',
      '80',
      '80:',
      ':80',
      '0:80',
      '80:0',
      '65536:1',
      '1:65536',
      '8090-8080:1-2',
      '1-2:3',
      '1-2:3-5',
      '1-3:4-5',
    ];
    wrong.push('::1:80:80', '[127.0.0.1]:80:80', '[::1:80:80', 'localhost:80:80', '256.0.0.1:1:1', '80:80/icmp');
    wrong.push('80:80/', '80:80:80', 'a:b', ' 80:80', '80:80 ', '-1:80', '1-:2-', '80:80\n');
    for (const given of wrong) expect(refused(given), JSON.stringify(given)).to.equal(true);
    expect(() => parsePublish('1-2:3-5')).to.throw(/ranges of the same length on both sides, or one port of the host/);
    expect(() => parsePublish('80')).to.throw(/--publish: expected \[HOST_IP:\]HOST_PORT:POD_PORT/);
  });

  it('any text is refused or understood by the pod specification as well', () => {
    const part = fc.constantFrom(
      '80',
      '8080-8090',
      '0',
      '70000',
      ':',
      '[::1]',
      '10.0.0.1',
      '-',
      '/udp',
      '/tcp',
      ' ',
      'x',
    );
    const given = fc.oneof(
      fc.string(),
      fc.array(part, { maxLength: 7 }).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(given, (each) => {
        let parsed: ReturnType<typeof parsePublish>;
        try {
          parsed = parsePublish(each);
        } catch (error) {
          if (!hasCode(error, 'CLI_USAGE')) throw error;
          return;
        }
        if (parsed.hostAddress !== undefined) expect(isIP(parsed.hostAddress)).to.not.equal(0);
        expect(parsePortRange(parsed, 'portmappings[0]').count).to.be.at.least(1);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads what it should from any right one', () => {
    const port = fc.integer({ min: 1, max: 65000 });
    const address = fc.option(fc.oneof(fc.ipV4(), fc.ipV6()), { nil: undefined });
    fc.assert(
      fc.property(address, port, port, fc.integer({ min: 1, max: 500 }), fc.boolean(), (host, from, to, count, udp) => {
        const range = (first: number) => (count === 1 ? `${first}` : `${first}-${first + count - 1}`);
        const prefix = host === undefined ? '' : isIP(host) === 6 ? `[${host}]:` : `${host}:`;
        const parsed = parsePublish(`${prefix}${range(from)}:${range(to)}${udp ? '/udp' : ''}`);
        expect(parsePortRange(parsed, 'x')).to.deep.equal({
          protocol: udp ? 'udp' : 'tcp',
          hostAddress: host ?? '0.0.0.0',
          hostPort: from,
          guestPort: to,
          count,
        });
      }),
    );
  });
});

describe('a published port by its host side', () => {
  it('is a port or a range, with address and protocol where they matter', () => {
    expect(parsePortSelector('8080')).to.deep.equal({ hostPort: '8080', protocol: 'tcp' });
    expect(parsePortSelector('127.0.0.1:80-90/UDP')).to.deep.equal({
      hostAddress: '127.0.0.1',
      hostPort: '80-90',
      protocol: 'udp',
    });
    expect(parsePortSelector('[::]:1/sctp')).to.deep.equal({ hostAddress: '::', hostPort: '1', protocol: 'sctp' });
  });
  it('and nothing else', () => {
    for (const given of ['', '0', '70000', '9-8', '80:80', 'localhost:80', '[x]:80', '80/icmp', '80/', ' 80', '-']) {
      expect(() => parsePortSelector(given), given).to.throw(/PORTS: expected/);
    }
  });
});
