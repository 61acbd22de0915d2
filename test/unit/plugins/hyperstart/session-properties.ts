import fc from 'fast-check';
import { hasCode } from '../../../../src/core/errors.js';
import { encodeControl } from '../../../../src/plugins/hyperstart/control-codec.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { encodeStreamHeader } from '../../../../src/plugins/hyperstart/stream-codec.js';
import { calls, command, connect } from './connect.js';

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((array) => Buffer.from(array));

/** Control messages that are nearly right, or anything. */
const control = fc.oneof(
  fc
    .tuple(fc.constantFrom(...Object.values(COMMAND), 99), fc.nat(8), fc.oneof(bytes(24), fc.json().map(Buffer.from)))
    .map(([code, id, body]) => {
      const idBytes = Buffer.alloc(4);
      idBytes.writeUInt32BE(id);
      return encodeControl(code, idBytes, body);
    }),
  bytes(40),
);
const streams = fc.oneof(
  fc
    .tuple(fc.nat(5), bytes(40))
    .map(([sequence, body]) => Buffer.concat([encodeStreamHeader(sequence, body.length), body])),
  bytes(40),
);
const inputs = fc.array(
  fc.tuple(
    fc.boolean(),
    fc.boolean().chain((is) => (is ? control : streams)),
  ),
  { maxLength: 8 },
);

/**
 * Whatever a guest sends in a session, every call settles: with a result, or with AGENT_CLOSED, AGENT_REFUSED or
 * AGENT_PROTOCOL.
 */
export const sessionGarbage = (original: boolean) =>
  fc.asyncProperty(inputs, async (pieces) => {
    const { fake, session } = await connect({ original });
    try {
      const process = await session.exec(command('cat'), calls());
      process.stdout.resume();
      process.stdin.write('hello');
      fake.intercept = () => true;
      const waiting = session.readNetwork(calls()).catch((error) => {
        if (!hasCode(error, 'AGENT_CLOSED', 'AGENT_REFUSED', 'AGENT_PROTOCOL', 'AGENT_EXEC_FAILED', 'NOT_SUPPORTED'))
          throw error;
      });
      for (const [toControl, piece] of pieces) (toControl ? fake.control : fake.streams).write(piece);
      await new Promise((resolve) => setImmediate(resolve));
      await session.close();
      await Promise.all([waiting, session.closed, process.exited.catch(() => {})]);
    } finally {
      fake.die();
    }
  });
