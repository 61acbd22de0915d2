import { expect } from 'chai';
import fc from 'fast-check';
import { hasCode } from '../../../../src/core/errors.js';
import { exitReason } from '../../../../src/plugins/uml/exit-reason.js';
import { decodeNotification, decodeReply, encodeRequest } from '../../../../src/plugins/uml/mconsole-codec.js';
import { checkUserNetwork } from '../../../../src/plugins/uml/slirp-network.js';

const reply = (error: number, more: number, text: string, length = text.length + 1) => {
  const bytes = Buffer.alloc(12 + 512);
  bytes.writeInt32LE(error, 0);
  bytes.writeUInt32LE(more, 4);
  bytes.writeUInt32LE(length, 8);
  bytes.write(text, 12, 'latin1');
  return bytes;
};
const code = (body: () => unknown) => {
  try {
    body();
  } catch (error) {
    return error;
  }
  return expect.fail('it did not throw');
};

describe("User Mode Linux's management console", () => {
  it('is asked by magic, version, length and command', () => {
    expect(encodeRequest('version').toString('hex')).to.equal(
      `bebafeca0200000007000000${Buffer.from('version').toString('hex')}`,
    );
    expect(() => encodeRequest('x'.repeat(512))).to.throw(TypeError);
  });

  it('answers with an error or none, in one part or several', () => {
    expect(decodeReply(reply(0, 0, 'stopped'))).to.deep.equal({ error: 0, more: false, text: 'stopped' });
    expect(decodeReply(reply(-16, 1, 'Device is currently open'))).to.deep.include({ error: -16, more: true });
  });

  it('is refused what is no answer, whatever it is', () => {
    expect(
      hasCode(
        code(() => decodeReply(reply(0, 0, 'x', 513))),
        'MCONSOLE_PROTOCOL',
      ),
    ).to.equal(true);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        try {
          decodeReply(Buffer.from(bytes));
        } catch (error) {
          expect(hasCode(error, 'MCONSOLE_PROTOCOL')).to.equal(true);
        }
        decodeNotification(Buffer.from(bytes));
      }),
    );
  });

  it('tells of its socket and of a panic; what the guest writes is text', () => {
    const bytes = Buffer.alloc(16 + 512);
    bytes.writeUInt32LE(0xcafebabe, 0);
    bytes.writeUInt32LE(2, 4);
    bytes.writeUInt32LE(1, 8);
    bytes.writeUInt32LE(5, 12);
    bytes.write('Oops', 16);
    expect(decodeNotification(bytes)).to.deep.equal({ type: 'panic', text: 'Oops' });
    bytes.writeUInt32LE(9, 8);
    expect(decodeNotification(bytes)).to.equal(undefined);
  });
});

describe('the end of User Mode Linux', () => {
  const nothing = { killed: false, panicked: false, exitCode: null, signal: null, stderrTail: '' };
  for (const [what, evidence, reason] of [
    ['killed by us', { killed: true, exitCode: 137 }, 'killed'],
    ['a panic, which aborts', { panicked: true, exitCode: 134 }, 'panicked'],
    ['an abort without a panic', { exitCode: 134 }, 'crashed'],
    ['SIGKILL from outside', { exitCode: 137 }, 'killed'],
    [
      'SIGKILL of the first of its namespace',
      { exitCode: 1, stderrTail: 'unshare: sigprocmask unblock failed' },
      'killed',
    ],
    ['SIGKILL of our child', { signal: 'SIGKILL' }, 'killed'],
    ['SIGTERM from outside', { exitCode: 1 }, 'killed'],
    ['power-off', { exitCode: 0 }, 'shutdown'],
    ['what the guest wrote to /proc/exitcode', { exitCode: 7 }, 'shutdown'],
    ['of an adopted one', {}, 'unknown'],
  ] as const) {
    it(`${what}: ${reason}`, () => expect(exitReason({ ...nothing, ...evidence })).to.equal(reason));
  }
});

describe("User Mode Linux's own network", () => {
  const ipv4 = { subnet: '10.7.0.0/24', gateway: '10.7.0.2', dns: '10.7.0.3', guest: '10.7.0.15' };
  const endpoint = { kind: 'builtin', ipv4, forwards: [], restricted: false } as const;

  it('is what slirp4netns can be', () => {
    expect(checkUserNetwork(endpoint)).to.equal(ipv4);
    for (const [wrong, expected] of [
      [{ ...endpoint, restricted: true }, 'NOT_SUPPORTED'],
      [{ ...endpoint, ipv6: ipv4 }, 'NOT_SUPPORTED'],
      [{ ...endpoint, ipv4: { ...ipv4, subnet: '10.7.0.0/26' } }, 'VM_SPEC_INVALID'],
      [{ ...endpoint, ipv4: { ...ipv4, gateway: '10.7.0.1' } }, 'VM_SPEC_INVALID'],
      [{ ...endpoint, ipv4: { ...ipv4, dns: '10.7.0.9' } }, 'VM_SPEC_INVALID'],
    ] as const) {
      expect(
        hasCode(
          code(() => checkUserNetwork(wrong)),
          expected,
        ),
      ).to.equal(true);
    }
  });
});
