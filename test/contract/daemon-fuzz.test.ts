import { connect } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { EXEC_PROTOCOL } from '../../src/client/wire/frames.js';
import type { Hyperplug } from '../../src/core/pod/types.js';
import { operations } from '../../src/daemon/operations/index.js';
import { startDaemon, type TestDaemon } from '../support/daemon.js';
import { eventually } from '../support/eventually.js';
import { FakeWorld } from '../support/fake-world.js';

const REQUESTS = 10_000;
const AT_ONCE = 16;
/** What a heap grows by under load, and is given back later; a leak of 10 000 requests would be more. */
const MAX_GROWTH_BYTES = 192 * 1024 * 1024;

/** Requests that no client of ours would send, while one of ours goes on. */
describe('the daemon under malformed requests', function () {
  this.timeout(300_000);
  let world: FakeWorld;
  let test: TestDaemon;
  let client: Hyperplug;

  before(async () => {
    world = new FakeWorld();
    const limits = { maxConnections: 256, headersTimeoutMs: 1_000, requestTimeoutMs: 2_000 };
    test = await startDaemon(world.root, await world.engine(), limits);
    client = await test.connect();
    await client.createPod({ id: 'web', keep: true });
  });
  after(async () => {
    // One that was recorded by a request that was right by chance is no defect.
    for (const { id } of await client.listPods()) await client.removePod(id, { force: true });
    await client.close();
    await test.daemon.stop();
    expect(world.leftovers()).to.deep.equal([]);
    world.dispose();
  });

  it(`of which it gets ${REQUESTS}, stays up, keeps its memory bounded, and serves the others`, async () => {
    const samples = fc.sample(anyRequest, REQUESTS);
    const before = process.memoryUsage().rss;
    let answered = 0;
    let next = 0;
    const statuses = new Map<string, number>();
    const worker = async () => {
      for (let sample = samples[next++]; sample; sample = samples[next++]) {
        const answer = await send(test.socketPath, sample);
        if (answer === '') continue;
        answered += 1;
        const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'none';
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        expect(status, sample.toString('latin1').slice(0, 300)).to.not.equal('none');
        // A defect of ours has a status of its own.
        expect(answer, sample.toString('latin1').slice(0, 600)).to.not.match(/"code":"DAEMON_FAILED"/);
      }
    };
    const pod = await client.openPod('web');
    const valid = (async () => {
      let count = 0;
      while (next < samples.length) {
        const { stdout } = await pod.exec(['echo', String(count)]);
        expect(stdout).to.equal(String(count++));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return count;
    })();
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    expect(await valid).to.be.greaterThan(5);
    expect(answered, JSON.stringify([...statuses])).to.be.greaterThan(REQUESTS / 2);
    expect(process.memoryUsage().rss - before).to.be.below(MAX_GROWTH_BYTES);
    // Nothing of theirs stays: neither connections nor streams nor commands.
    await eventually(async () => {
      const { connections, streams, commands } = await gauges();
      // Our own client looks at the pods that it has opened.
      expect({ streams, commands }).to.deep.equal({ streams: 2, commands: 0 });
      expect(connections).to.be.below(16);
    }, 30_000);
    expect((await client.pods.inspect('web')).state).to.equal('running');
    expect(test.log.filter(({ level }) => level === 'error')).to.deep.equal([]);
  });

  it('clients that begin and do not go on are cut off, and keep nobody out', async () => {
    const starts = [
      '',
      'GET',
      'POST /v1/pods HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{',
      'GET / HTTP/1.1\r\nx: ',
    ];
    const slow = Array.from({ length: 32 }, (_, index) => {
      const socket = connect(test.socketPath);
      socket.on('error', () => {});
      socket.write(starts[index % starts.length] ?? '');
      socket.resume();
      return new Promise((resolve) => socket.once('close', resolve));
    });
    expect((await client.listPods()).length).to.equal(1);
    await Promise.all(slow.filter((_, index) => index % starts.length !== 0));
    expect((await client.listPods()).length).to.equal(1);
  });

  it('who reads no answer holds up no one', async () => {
    const deaf = Array.from({ length: 16 }, () => {
      const socket = connect(test.socketPath);
      socket.on('error', () => {});
      socket.pause();
      for (let count = 0; count < 64; count++) socket.write('GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n');
      return socket;
    });
    for (let count = 0; count < 10; count++) expect((await client.listPods()).length).to.equal(1);
    for (const socket of deaf) socket.destroy();
  });

  async function gauges(): Promise<Record<string, number>> {
    const text = await send(
      test.socketPath,
      Buffer.from('GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
      true,
    );
    return Object.fromEntries(
      [...text.matchAll(/^hyperplug_(\w+) (\d+)\r?$/gm)].map(([, name, value]) => [name, Number(value)]),
    );
  }
});

const junk = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
const anyPath = fc.oneof(
  fc.constantFrom(...operations.map(({ path }) => path)),
  fc.constantFrom(...operations.map(({ path }) => path.replaceAll(/\{\w+\}/g, 'other'))),
  fc.webPath(),
  fc.constantFrom(
    '/v1/pods/..%2f..%2fetc',
    `/v1/pods/${'a'.repeat(5000)}`,
    '/v1/pods/%ff',
    '/v1/pods/%',
    '//',
    '*',
    '/v1/pods/web/exec',
  ),
);
const query = fc.oneof(
  fc.constant(''),
  fc.webQueryParameters().map((text) => `?${text}`),
  fc.constantFrom(
    '?follow=maybe',
    '?since=1e9',
    '?since=',
    '?path=',
    '?tail=-1',
    '?force=1&force=0',
    `?label=${'x'.repeat(300)}`,
  ),
);
/** Such as ends by itself: a stream that is read to its end would be waited for. */
const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'BREW');
const body = fc.oneof(
  fc.json().map((text) => Buffer.from(text)),
  junk,
  fc.constantFrom(
    Buffer.from('{'),
    Buffer.from('{"__proto__":{"keep":true}}'),
    Buffer.from('{"id":"x","id":"y","resource":{"vcpu":1e999}}'),
    Buffer.from(`${'['.repeat(20_000)}${']'.repeat(20_000)}`),
    Buffer.from('{"argv":["a\\u0000b"]}'),
    Buffer.from('{"argv":"sh -c true"}'),
    Buffer.alloc(0),
    Buffer.from(`{"labels":{${Array.from({ length: 500 }, (_, at) => `"k${at}":"v"`).join(',')}},"nope":1}`),
  ),
);
const header = fc.oneof(
  fc.constantFrom(
    'hyperplug-timeout-ms: -1',
    'hyperplug-timeout-ms: 99999999999999',
    'hyperplug-session: none',
    'hyperplug-request-id: ../../x',
    'content-type: text/xml',
    'content-encoding: gzip',
    'transfer-encoding: nonsense',
    'expect: 100-continue',
    `x-long: ${'x'.repeat(20_000)}`,
    'connection: upgrade\r\nupgrade: websocket',
    `connection: upgrade\r\nupgrade: ${EXEC_PROTOCOL}`,
  ),
  fc.string({ maxLength: 40 }).map((text) => `x-${text.replaceAll(/[\r\n]/g, '')}: 1`),
);
const httpRequest = fc
  .record({
    method,
    path: anyPath,
    query,
    headers: fc.array(header, { maxLength: 2 }),
    body,
    lie: fc.integer({ min: -3, max: 3 }),
  })
  .map((parts) => {
    const length = Math.max(0, parts.body.length + parts.lie);
    const head = [
      `${parts.method} ${parts.path}${parts.query} HTTP/1.1`,
      'host: x',
      'connection: close',
      ...(parts.headers.some((each) => each.startsWith('content-type')) ? [] : ['content-type: application/json']),
      `content-length: ${length}`,
      ...parts.headers,
      '',
      '',
    ].join('\r\n');
    return Buffer.concat([Buffer.from(head, 'latin1'), parts.body]);
  });
const frames = fc
  .array(junk, { maxLength: 3 })
  .map((parts) =>
    Buffer.concat([
      Buffer.from(
        `POST /v1/pods/web/exec HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: ${EXEC_PROTOCOL}\r\n\r\n`,
      ),
      ...parts,
    ]),
  );
const truncated = fc
  .tuple(httpRequest, fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([bytes, share]) => bytes.subarray(0, Math.floor(bytes.length * share)));
const mutated = fc
  .tuple(httpRequest, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 8 }))
  .map(([bytes, changes]) => {
    const copy = Buffer.from(bytes);
    for (const [at, value] of changes) if (copy.length > 0) copy[at % copy.length] = value;
    return copy;
  });
const anyRequest = fc.oneof(
  { weight: 5, arbitrary: httpRequest },
  { weight: 1, arbitrary: junk },
  { weight: 2, arbitrary: frames },
  { weight: 1, arbitrary: truncated },
  { weight: 3, arbitrary: mutated },
);

/** Sends it, says that that is all, and reads what comes until the other side ends it or there is a first answer. */
function send(socketPath: string, bytes: Buffer, whole = false): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    let answer = '';
    const done = () => {
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(done, 3_000);
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
      // Enough to know its status, and the code in it.
      if (!whole && /^HTTP\/1\.1 [^1]/.test(answer) && (answer.includes('"code"') || answer.length > 600)) done();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    socket.end(bytes);
  });
}
