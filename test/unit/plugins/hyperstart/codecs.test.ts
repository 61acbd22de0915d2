import { expect } from 'chai';
import fc from 'fast-check';
import {
  CONTROL_HEADER_BYTES,
  ControlDecoder,
  encodeControl,
} from '../../../../src/plugins/hyperstart/control-codec.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { AnswerScanner, encodeMark, PatternScanner } from '../../../../src/plugins/hyperstart/scanners.js';
import { encodeStreamHeader, StreamDecoder } from '../../../../src/plugins/hyperstart/stream-codec.js';
import { throws } from '../../../support/rejects.js';
import { chunked, controlGarbage, jsonGarbage, scannersGarbage, streamGarbage } from './codec-properties.js';

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));
const cuts = fc.array(fc.nat(200), { maxLength: 20 });

describe('control codec', () => {
  it('writes code, whole length, payload, big-endian', () => {
    expect(encodeControl(9, Buffer.from([0, 0, 0x10, 0x94])).toString('hex')).to.equal('000000090000000c00001094');
  });

  it('gives the same messages however they are cut', () => {
    const messages = fc.array(fc.tuple(fc.nat(0xffff_ffff), bytes(100)), { maxLength: 10 });
    fc.assert(
      fc.property(messages, cuts, (sent, at) => {
        const wire = Buffer.concat(sent.map(([code, payload]) => encodeControl(code, payload)));
        const seen: [number, Buffer][] = [];
        const decoder = new ControlDecoder(1000, (code, payload) => seen.push([code, Buffer.from(payload)]));
        for (const chunk of chunked(wire, at)) decoder.push(chunk);
        expect(seen).to.deep.equal(sent);
      }),
    );
  });

  it('gives a message of 16 MiB that comes byte by byte at its ends', () => {
    const payload = Buffer.alloc(16 * 1024 * 1024, 7);
    const wire = encodeControl(16, payload);
    let seen = 0;
    const decoder = new ControlDecoder(wire.length, (_code, body) => {
      seen += body.equals(payload) ? 1 : 0;
    });
    for (const chunk of chunked(wire, [1, 2, 3, 4, 5, 6, 7, 8, 9, wire.length - 2, wire.length - 1]))
      decoder.push(chunk);
    expect(seen).to.equal(1);
  });

  it('refuses lengths below the header and above the limit, and stays refused', () => {
    for (const length of [0, 7, 101, 0xffff_ffff]) {
      const decoder = new ControlDecoder(100, () => {});
      const header = Buffer.alloc(CONTROL_HEADER_BYTES);
      header.writeUInt32BE(length, 4);
      throws(() => decoder.push(header), 'AGENT_PROTOCOL', 'length', String(length));
      throws(() => decoder.push(encodeControl(9)), 'AGENT_PROTOCOL');
    }
  });

  it('answers garbage with AGENT_PROTOCOL alone', () => {
    fc.assert(controlGarbage());
  });
});

describe('stream codec', () => {
  it('gives the same bytes and ends of each stream however they are cut', () => {
    const messages = fc.array(fc.tuple(fc.constantFrom(1, 2, 2 ** 32 + 5, 2 ** 53 - 1), bytes(60)), { maxLength: 12 });
    fc.assert(
      fc.property(messages, cuts, (sent, at) => {
        const wire = Buffer.concat(
          sent.flatMap(([seq, payload]) => [encodeStreamHeader(seq, payload.length), payload]),
        );
        const seen: Record<number, string> = {};
        const add = (sequence: number, text: string) => {
          seen[sequence] = (seen[sequence] ?? '') + text;
        };
        const decoder = new StreamDecoder(60, {
          data: (sequence, piece) => add(sequence, piece.toString('hex')),
          end: (sequence) => add(sequence, '.'),
        });
        for (const chunk of chunked(wire, at)) decoder.push(chunk);
        const expected: Record<number, string> = {};
        for (const [seq, payload] of sent) expected[seq] = (expected[seq] ?? '') + (payload.toString('hex') || '.');
        expect(seen).to.deep.equal(expected);
      }),
    );
  });

  it('refuses lengths that cannot be', () => {
    for (const length of [0, 11, 12 + 61, 0xffff_ffff]) {
      const decoder = new StreamDecoder(60, { data: () => {}, end: () => {} });
      const header = encodeStreamHeader(1, 0);
      header.writeUInt32BE(length, 8);
      throws(() => decoder.push(header), 'AGENT_PROTOCOL', 'length', String(length));
    }
  });

  it('gives sequences that no number holds as NaN', () => {
    const seen: number[] = [];
    const decoder = new StreamDecoder(60, { data: () => {}, end: (sequence) => seen.push(sequence) });
    decoder.push(Buffer.from('ffffffffffffffff0000000c', 'hex'));
    expect(seen).to.deep.equal([Number.NaN]);
  });

  it('answers garbage with AGENT_PROTOCOL alone', () => {
    fc.assert(streamGarbage());
  });
});

describe('scanners', () => {
  it('find the mark behind any bytes, however cut, and give what follows', () => {
    fc.assert(
      fc.property(bytes(80), bytes(40), cuts, (stale, after, at) => {
        const scanner = new PatternScanner(encodeMark('0123456789abcdef'));
        const found: Buffer[] = [];
        let done = false;
        for (const chunk of chunked(Buffer.concat([stale, encodeMark('0123456789abcdef'), after]), at)) {
          const rest = done ? chunk : scanner.push(chunk);
          if (rest === undefined) continue;
          done = true;
          found.push(rest);
        }
        expect(done).to.equal(true);
        expect(Buffer.concat(found).equals(after)).to.equal(true);
      }),
    );
  });

  it('find the accepted answer behind stale messages cut anywhere', () => {
    const version = Buffer.from('00001094', 'hex');
    const answer = (nonce: string) =>
      encodeControl(COMMAND.ACK, version, Buffer.from(JSON.stringify({ hyperplug: 1, agent: 'x', nonce })));
    const stale = Buffer.concat([
      encodeControl(COMMAND.ACK),
      answer('f'.repeat(16)),
      encodeControl(23, Buffer.alloc(2000, 9)),
    ]);
    fc.assert(
      fc.property(fc.nat(stale.length), fc.nat(stale.length), cuts, (from, to, at) => {
        const wire = Buffer.concat([
          stale.subarray(from, Math.max(from, to)),
          answer('a'.repeat(16)),
          Buffer.from('rest'),
        ]);
        const scanner = new AnswerScanner(COMMAND.ACK, 4244, (payload) => payload.includes('a'.repeat(16)));
        const found: Buffer[] = [];
        let done = false;
        for (const chunk of chunked(wire, at)) {
          const rest = done ? chunk : scanner.push(chunk);
          if (rest === undefined) continue;
          done = true;
          found.push(rest);
        }
        expect(Buffer.concat(found).toString()).to.equal('rest');
      }),
    );
  });

  it('hold little of what they do not find', () => {
    fc.assert(scannersGarbage());
  });
});

describe('JSON of the guest', () => {
  it('is taken as its schema says or answered with AGENT_PROTOCOL', () => {
    fc.assert(jsonGarbage());
  });
});
