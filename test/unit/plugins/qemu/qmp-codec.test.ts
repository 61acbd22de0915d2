import { expect } from 'chai';
import fc from 'fast-check';
import { hasCode, isHyperplugError } from '../../../../src/core/errors.js';
import { encodeQmp, QmpDecoder, type QmpObject } from '../../../../src/plugins/qemu/qmp/codec.js';
import { decodeEvent } from '../../../../src/plugins/qemu/qmp/events.js';
import { classify } from '../../../../src/plugins/qemu/qmp/messages.js';

/** HYPERPLUG_FUZZ_RUNS=1000000 for the long run. */
const RUNS = Number(process.env.HYPERPLUG_FUZZ_RUNS ?? 2_000);

/** `bytes` cut at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((start, index) => bytes.subarray(start, at[index] ?? bytes.length));
}

function failure(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  return expect.fail('it did not throw');
}

describe('QMP codec', function () {
  this.timeout(RUNS * 2 + 10_000);

  it('gives the same objects wherever the bytes are cut', () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(fc.array(object, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 20 }), (objects, places) => {
        const expected = objects.map((each) => JSON.parse(JSON.stringify(each)));
        const bytes = Buffer.from(objects.map((each) => encodeQmp(each as QmpObject)).join(''));
        const decoder = new QmpDecoder();
        const decoded = cut(bytes, places).flatMap((chunk) => decoder.push(chunk));
        expect(decoded).to.deep.equal(expected);
      }),
      { numRuns: RUNS },
    );
  });

  it('answers any bytes with objects or QMP_PROTOCOL, and keeps no more than its limit', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .constantFrom('{', '}', '"', '\\', '\r\n', '{"event":"STOP"}\r\n', '{"return":{},"id":1}\r\n', '[]\n', 'é')
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const decoder = new QmpDecoder(256);
        try {
          for (const each of pieces) {
            for (const object of decoder.push(Buffer.from(each))) {
              const message = classify(object);
              if (message.kind === 'event') decodeEvent(message.name, message.data);
            }
          }
        } catch (error) {
          if (!isHyperplugError(error) || error.code !== 'QMP_PROTOCOL') throw error;
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('refuses a message that is too long before its end has come', () => {
    const decoder = new QmpDecoder(100);
    expect(decoder.push(Buffer.alloc(100, 0x20))).to.deep.equal([]);
    expect(
      hasCode(
        failure(() => decoder.push(Buffer.from(' '))),
        'QMP_PROTOCOL',
      ),
    ).to.equal(true);
  });

  it('counts each message by itself', () => {
    const decoder = new QmpDecoder(20);
    for (let round = 0; round < 10; round++) expect(decoder.push(Buffer.from('{"a":1}\r\n'))).to.have.length(1);
  });

  for (const [what, text] of [
    ['an array', '[1]\n'],
    ['a number', '1\n'],
    ['broken JSON', '{"a":\n'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d, 0x0a])],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(
        hasCode(
          failure(() => new QmpDecoder().push(Buffer.from(text as string))),
          'QMP_PROTOCOL',
        ),
      ).to.equal(true);
    });
  }

  for (const object of [
    {},
    { return: {} },
    { error: {}, id: 1 },
    { error: { class: 'GenericError' }, id: 1 },
    { QMP: {} },
  ]) {
    it(`refuses ${JSON.stringify(object)}`, () => {
      expect(
        hasCode(
          failure(() => classify(object as unknown as QmpObject)),
          'QMP_PROTOCOL',
        ),
      ).to.equal(true);
    });
  }

  it('passes over events it does not know, be they named after what every object has', () => {
    expect(decodeEvent('RTC_CHANGE', {})).to.equal(undefined);
    expect(decodeEvent('constructor', {})).to.equal(undefined);
    expect(decodeEvent('DEVICE_DELETED', { path: '/x' })).to.deep.equal({
      name: 'DEVICE_DELETED',
      data: { device: undefined, path: '/x' },
    });
  });
});
