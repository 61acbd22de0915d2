import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import fc from 'fast-check';
import { InputStream } from '../../../../src/plugins/hyperstart/input-stream.js';
import { OutputStream } from '../../../../src/plugins/hyperstart/output-stream.js';

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

describe('output stream', () => {
  it('gives what it got, in order, and tells each byte as consumed once', async () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 4000, max: 20_000 })), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(30), async (pieces, readFrom) => {
        let consumed = 0;
        const stream = new OutputStream((bytes) => {
          consumed += bytes;
        });
        const seen: Buffer[] = [];
        let value = 0;
        const sent: Buffer[] = [];
        for (const [index, size] of pieces.entries()) {
          if (index === readFrom) stream.on('data', (chunk) => seen.push(chunk));
          const piece = Buffer.from(Uint8Array.from({ length: size }, () => value++ & 0xff));
          sent.push(Buffer.from(piece));
          stream.receive(piece);
          if (index % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        if (pieces.length <= readFrom) stream.on('data', (chunk) => seen.push(chunk));
        stream.end();
        await new Promise((resolve) => stream.once('end', resolve));
        expect(Buffer.concat(seen).equals(Buffer.concat(sent))).to.equal(true);
        expect(consumed).to.equal(Buffer.concat(sent).length);
        expect(stream.heldBytes).to.equal(0);
      }),
      { numRuns: 50 },
    );
  });

  it('does not keep a read buffer for a byte of it', () => {
    const stream = new OutputStream(() => {});
    const big = new OutputStream(() => {});
    big.resume();
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 2000; n += 1) stream.receive(Buffer.allocUnsafeSlow(64 * 1024).subarray(n, n + 1));
    collectGarbage();
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(64 * 1024 * 1024);
    expect(stream.heldBytes).to.be.within(1, 2000);
  });

  it('consumes what nobody will read', async () => {
    let consumed = 0;
    const stream = new OutputStream((bytes) => {
      consumed += bytes;
    });
    stream.receive(Buffer.alloc(100_000));
    expect(consumed).to.equal(0);
    stream.destroy();
    stream.receive(Buffer.alloc(7));
    stream.end();
    await new Promise((resolve) => stream.once('close', resolve));
    expect(consumed).to.equal(100_007);
  });

  it('an error of it ends nobody who does not listen', async () => {
    const stream = new OutputStream(() => {});
    stream.destroy(new Error('gone'));
    await new Promise((resolve) => stream.once('close', resolve));
  });
});

describe('input stream', () => {
  it('gives what was written however it is taken, and calls back when the last of it was', async () => {
    const writes = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(writes, fc.integer({ min: 1, max: 200 }), async (sizes, most) => {
        const stream = new InputStream(() => {});
        let value = 0;
        const sent = sizes.map((size) => Buffer.from(Uint8Array.from({ length: size }, () => value++ & 0xff)));
        let written = 0;
        for (const piece of sent)
          stream.write(piece, () => {
            written += 1;
          });
        stream.end();
        const taken: Buffer[] = [];
        for (let turn = 0; !stream.endPending; turn += 1) {
          if (turn > 10_000) throw new Error('it does not end');
          if (stream.pendingBytes > 0) {
            const parts = stream.take(most);
            expect(Buffer.concat(parts).length).to.be.within(1, most);
            taken.push(...parts);
            stream.taken();
          }
          await new Promise((resolve) => process.nextTick(resolve));
        }
        stream.endTaken();
        await new Promise((resolve) => stream.once('finish', resolve));
        expect(written).to.equal(sent.length);
        expect(Buffer.concat(taken).equals(Buffer.concat(sent))).to.equal(true);
      }),
      { numRuns: 50 },
    );
  });

  it('destroyed with a write in it, calls back with an error and still ends in the guest', async () => {
    const stream = new InputStream(() => {});
    const failed = new Promise((resolve) => stream.write('x', resolve));
    stream.destroy();
    expect(await failed).to.have.property('code', 'AGENT_CLOSED');
    expect(stream.endPending).to.equal(true);
  });
});
