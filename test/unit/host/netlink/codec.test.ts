import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalIpv6, decodeIp, encodeIp } from '../../../../src/host/netlink/codec/address.js';
import {
  type Attributes,
  type AttributeTable,
  type AttributeType,
  decodeAttributes,
  table,
  writeAttributes,
} from '../../../../src/host/netlink/codec/attributes.js';
import { ByteWriter } from '../../../../src/host/netlink/codec/byte-writer.js';
import { decodeMessages, encodeMessage, NLM_F, RTM } from '../../../../src/host/netlink/codec/messages.js';

const INNER = table({ 1: ['word', 'string'], 2: ['count', 'u32'] });
const ROWS: Record<number, readonly [string, AttributeType]> = {
  1: ['flag', 'flag'],
  2: ['byte', 'u8'],
  3: ['short', 'u16'],
  4: ['port', 'u16be'],
  5: ['long', 'u32'],
  6: ['signed', 's32'],
  7: ['huge', 'u64'],
  8: ['text', 'string'],
  9: ['mac', 'mac'],
  10: ['ip', 'ip'],
  11: ['bytes', 'binary'],
  12: ['nest', { nested: INNER }],
};
const TABLE = table(ROWS);

/** Of a buffer that has to grow for almost anything. */
function encodeAttributes(given: Attributes, rows: AttributeTable): Buffer {
  const writer = new ByteWriter(4);
  writeAttributes(writer, given, rows);
  return writer.bytes;
}

const attributes = fc.record(
  {
    flag: fc.constant(true),
    byte: fc.nat(0xff),
    short: fc.nat(0xffff),
    port: fc.nat(0xffff),
    long: fc.nat(0xffff_ffff),
    signed: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    huge: fc.bigInt(0n, 2n ** 64n - 1n),
    text: fc.string().map((text) => text.replaceAll('\0', '')),
    mac: fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((bytes) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(':')),
    ip: fc.oneof(fc.ipV4(), fc.ipV6().map(canonicalIpv6)),
    bytes: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    nest: fc.record({ word: fc.string().map((text) => text.replaceAll('\0', '')), count: fc.nat(0xffff_ffff) }),
  },
  { requiredKeys: [] },
);

describe('netlink attributes', () => {
  it('come back as they were given', () => {
    fc.assert(
      fc.property(attributes, (given) => {
        expect(decodeAttributes(encodeAttributes(given, TABLE), TABLE)).to.deep.equal(given);
      }),
    );
  });

  it('are padded to four bytes and say their length without padding (struct nlattr)', () => {
    expect(encodeAttributes({ text: 'lo' }, TABLE).toString('hex')).to.equal('070008006c6f0000');
    expect(encodeAttributes({ nest: { count: 1 } }, TABLE).toString('hex')).to.equal('0c000c80' + '0800020001000000');
  });

  it('that are garbage are a RangeError or decoded, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeAttributes(Buffer.from(bytes), TABLE);
        } catch (error) {
          expect(error).to.be.instanceOf(RangeError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('refuse a value that does not fit, naming the attribute', () => {
    expect(() => encodeAttributes({ byte: 256 }, TABLE)).to.throw(TypeError, /byte.*256/);
    expect(() => encodeAttributes({ text: 'a\0b' }, TABLE)).to.throw(TypeError, /text/);
    expect(() => encodeAttributes({ mac: '52:54:00' }, TABLE)).to.throw(TypeError, /52:54:00/);
    expect(() => encodeAttributes({ nowhere: 1 }, TABLE)).to.throw(TypeError, /nowhere/);
  });
});

describe('netlink messages', () => {
  const request = {
    type: RTM.NEWADDR,
    flags: NLM_F.REQUEST,
    header: { family: 2, prefixLength: 24, index: 7 },
    attributes: { local: '10.0.0.1' },
  };

  it('have the layout of struct nlmsghdr and struct ifaddrmsg', () => {
    const hex = encodeMessage(request, 5).toString('hex');
    expect(hex).to.equal(
      '20000000' + '1400' + '0100' + '05000000' + '00000000' + '02180000' + '07000000' + '08000200' + '0a000001',
    );
  });

  it('come back as they were given, however many stand in one buffer', () => {
    const bytes = Buffer.concat([
      encodeMessage(request, 1),
      encodeMessage({ ...request, attributes: { label: 'x' } }, 2),
    ]);
    const [first, second] = decodeMessages(bytes);
    expect(first).to.deep.include({ type: RTM.NEWADDR, sequence: 1, attributes: { local: '10.0.0.1' } });
    expect(first?.header).to.deep.equal({ family: 2, prefixLength: 24, flags: 0, scope: 0, index: 7 });
    expect(second?.attributes).to.deep.equal({ label: 'x' });
  });

  it('that are garbage are a RangeError or decoded, never anything else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(400),
        fc.constantFrom(...Object.values(RTM)),
        (noise, length, type) => {
          const bytes = Buffer.concat([Buffer.alloc(16), Buffer.from(noise)]);
          bytes.writeUInt32LE(length, 0);
          bytes.writeUInt16LE(type, 4);
          try {
            decodeMessages(bytes);
          } catch (error) {
            expect(error).to.be.instanceOf(RangeError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('IP addresses on the wire', () => {
  it('come back in canonical text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const once = decodeIp(encodeIp(text));
        expect(decodeIp(encodeIp(once))).to.equal(once);
        expect(encodeIp(once)).to.deep.equal(encodeIp(text));
      }),
    );
    expect(decodeIp(encodeIp('FD00:0:0:0::1'))).to.equal('fd00::1');
    expect(encodeIp('::ffff:10.0.0.1').toString('hex')).to.equal('00000000000000000000ffff0a000001');
  });
});
