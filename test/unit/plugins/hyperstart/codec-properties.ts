import fc from 'fast-check';
import { hasCode } from '../../../../src/core/errors.js';
import { ControlDecoder } from '../../../../src/plugins/hyperstart/control-codec.js';
import { AnswerScanner, encodeMark, PatternScanner } from '../../../../src/plugins/hyperstart/scanners.js';
import * as schemas from '../../../../src/plugins/hyperstart/schemas.js';
import { StreamDecoder } from '../../../../src/plugins/hyperstart/stream-codec.js';

/** `wire` in pieces, cut at these offsets. */
export function chunked(wire: Buffer, at: readonly number[]): Buffer[] {
  const cuts = [...new Set([0, ...at.map((cut) => Math.min(cut, wire.length)), wire.length])].sort((a, b) => a - b);
  return cuts.slice(1).map((end, index) => wire.subarray(cuts[index], end));
}

/** Headers with lengths near the limits are commoner than chance would make them. */
function wire(headerBytes: number): fc.Arbitrary<Buffer> {
  const length = fc.oneof(fc.nat(80), fc.nat(0xffff_ffff));
  const frame = fc
    .tuple(
      fc.uint8Array({ minLength: headerBytes - 4, maxLength: headerBytes - 4 }),
      length,
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([start, size, body]) => {
      const sizeBytes = Buffer.alloc(4);
      sizeBytes.writeUInt32BE(size);
      return Buffer.concat([start, sizeBytes, body]);
    });
  return fc.oneof(
    fc.array(frame, { maxLength: 4 }).map((frames) => Buffer.concat(frames)),
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  );
}

const cuts = fc.array(fc.nat(120), { maxLength: 6 });

/** Runs `body`; AGENT_PROTOCOL is a good end, anything else thrown is not. */
function protocolErrorsOnly(body: () => void): boolean {
  try {
    body();
  } catch (error) {
    if (!hasCode(error, 'AGENT_PROTOCOL')) throw error;
  }
  return true;
}

export const controlGarbage = () =>
  fc.property(wire(8), cuts, (bytes, at) => {
    let delivered = 0;
    const decoder = new ControlDecoder(64, (_code, payload) => {
      delivered += 8 + payload.length;
    });
    protocolErrorsOnly(() => {
      for (const chunk of chunked(bytes, at)) decoder.push(chunk);
    });
    return delivered <= bytes.length;
  });

export const streamGarbage = () =>
  fc.property(wire(12), cuts, (bytes, at) => {
    let delivered = 0;
    const decoder = new StreamDecoder(64, {
      data: (_sequence, piece) => {
        delivered += piece.length;
      },
      end: () => {},
    });
    protocolErrorsOnly(() => {
      for (const chunk of chunked(bytes, at)) decoder.push(chunk);
    });
    return delivered <= bytes.length;
  });

export const scannersGarbage = () =>
  fc.property(wire(8), cuts, (bytes, at) => {
    const mark = new PatternScanner(encodeMark('0123456789abcdef'));
    const answer = new AnswerScanner(9, 4244, () => false);
    return protocolErrorsOnly(() => {
      for (const chunk of chunked(bytes, at)) {
        mark.push(chunk);
        answer.push(chunk);
      }
    });
  });

/** Every parser of what a guest says, on JSON that is nearly right and on bytes that are no JSON. */
export const jsonGarbage = () => {
  const parsers = Object.entries(schemas).flatMap(([name, parser]) => (name.startsWith('parse') ? [parser] : []));
  const key = fc.constantFrom('links', 'routes', 'name', 'mac', 'addresses', 'status', 'code', 'reason', '__proto__');
  const near = fc.dictionary(key, fc.jsonValue({ maxDepth: 2 })).map((value) => Buffer.from(JSON.stringify(value)));
  const body = fc.oneof(
    near,
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc.json({ maxDepth: 3 }).map((text) => Buffer.from(text)),
  );
  return fc.property(body, (bytes) =>
    parsers.every((parser) => protocolErrorsOnly(() => (parser as (b: Buffer, w: string) => unknown)(bytes, 'test'))),
  );
};
