import { expect } from 'chai';
import fc from 'fast-check';
import { Credit, WindowedReadable } from '../../../src/client/wire/credit.js';
import { errorFromWire, errorToWire } from '../../../src/client/wire/errors.js';
import { dataFrame, FRAME, FrameReader, frameJson, jsonFrame } from '../../../src/client/wire/frames.js';
import { HyperplugError, isHyperplugError } from '../../../src/core/errors.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('client: frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    const frame = fc.record({ type: fc.integer({ min: 0, max: 255 }), payload: fc.uint8Array({ maxLength: 300 }) });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 97 })), (frames, cuts) => {
        const bytes = Buffer.concat(frames.flatMap(({ type, payload }) => dataFrame(type, payload)));
        const reader = new FrameReader(() => 300);
        const seen: { type: number; payload: Uint8Array }[] = [];
        for (let at = 0, turnNumber = 0; at < bytes.length; turnNumber++) {
          const size = cuts[turnNumber % Math.max(1, cuts.length)] ?? 13;
          for (const each of reader.push(bytes.subarray(at, at + size))) seen.push(each);
          at += size;
        }
        expect(seen.map(({ type, payload }) => [type, Buffer.from(payload).toString('hex')])).to.deep.equal(
          frames.map(({ type, payload }) => [type, Buffer.from(payload).toString('hex')]),
        );
      }),
    );
  });

  it('larger than their type may be are refused before they are kept', () => {
    const reader = new FrameReader((type) => (type === 1 ? 10 : 0));
    const [header] = dataFrame(1, Buffer.alloc(11));
    expect(() => [...reader.push(header)]).to.throw(HyperplugError, /at most 10 bytes, got 11/);
  });

  it('of JSON hold an object', () => {
    const [frame] = [...new FrameReader(() => 100).push(jsonFrame(FRAME.exit, { exitCode: 3 }))];
    expect(frame && frameJson(frame)).to.deep.equal({ exitCode: 3 });
    for (const text of ['[1]', '"a"', 'null', '{', '']) {
      expect(() => frameJson({ type: FRAME.exit, payload: Buffer.from(text) }), text).to.throw(HyperplugError);
    }
  });
});

describe('client: credit', () => {
  it('is waited for, given in parts, and over when it is closed', async () => {
    const credit = new Credit(5);
    expect(await credit.take(3)).to.equal(3);
    expect(await credit.take(9)).to.equal(2);
    const waiting = credit.take(4);
    credit.add(10);
    expect(await waiting).to.equal(4);
    expect(await credit.take(100)).to.equal(6);
    const last = credit.take(1);
    credit.close();
    expect(await last).to.equal(0);
  });

  it('is asked for as data is read, and not before', async () => {
    let asked = 0;
    const stream = new WindowedReadable((bytes) => {
      asked += bytes;
    });
    for (let count = 0; count < 8; count++) stream.arrive(Buffer.alloc(64 * 1024));
    await turn();
    expect(asked).to.be.below(8 * 64 * 1024);
    stream.arriveEnd();
    let read = 0;
    for await (const chunk of stream) read += (chunk as Buffer).length;
    expect(read).to.equal(8 * 64 * 1024);
    expect(asked).to.equal(read);
  });

  it('is given for what nobody will read', async () => {
    let asked = 0;
    const stream = new WindowedReadable((bytes) => {
      asked += bytes;
    });
    for (let count = 0; count < 4; count++) stream.arrive(Buffer.alloc(64 * 1024));
    stream.destroy();
    await turn();
    stream.arrive(Buffer.alloc(1000));
    expect(asked).to.be.at.least(1000 + 4 * 64 * 1024 - 64 * 1024);
  });
});

describe('client: errors over the wire', () => {
  it('keep code, message, details, causes and each of several', () => {
    const cause = new HyperplugError('AGENT_REFUSED', 'no', {
      cause: new Error('ENOENT: none'),
      details: { errno: 2 },
    });
    const several = [new HyperplugError('TIMEOUT', 'late'), new Error('plain')];
    const error = new HyperplugError('POD_CLEANUP_FAILED', 'not all', { cause, errors: several, details: { a: [1] } });
    const back = errorFromWire(JSON.parse(JSON.stringify(errorToWire(error)))) as HyperplugError;
    expect(isHyperplugError(back)).to.equal(true);
    expect([back.code, back.message, back.details]).to.deep.equal(['POD_CLEANUP_FAILED', 'not all', { a: [1] }]);
    const seen = back.cause as HyperplugError;
    expect([seen.code, seen.message, seen.details]).to.deep.equal(['AGENT_REFUSED', 'no', { errno: 2 }]);
    expect((seen.cause as Error).message).to.equal('ENOENT: none');
    expect(back.errors.map((each) => (each as Error).message)).to.deep.equal(['late', 'plain']);
    expect(back.errors.map(isHyperplugError)).to.deep.equal([true, false]);
  });

  it('of a daemon that knows more codes, or that is none, are told as DAEMON_FAILED', () => {
    for (const value of [null, 7, 'x', [], {}, { code: 'NEW_ONE', message: 'm' }, { code: 'toString', message: 'm' }]) {
      expect((errorFromWire(value) as HyperplugError).code).to.equal('DAEMON_FAILED');
    }
  });

  it('are bounded, whatever refers to itself', () => {
    const error = new Error('round');
    error.cause = error;
    expect(JSON.stringify(errorToWire(error)).length).to.be.below(2000);
  });
});
