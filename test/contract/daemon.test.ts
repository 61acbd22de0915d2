import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { dataFrame, EXEC_PROTOCOL, FRAME, jsonFrame } from '../../src/client/wire/frames.js';
import type { HyperplugError } from '../../src/core/errors.js';
import { startDaemon, type TestDaemon } from '../support/daemon.js';
import { eventually } from '../support/eventually.js';
import { FakeWorld } from '../support/fake-world.js';

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

describe('the daemon', function () {
  this.timeout(60_000);
  let world: FakeWorld;
  let test: TestDaemon;
  let socketPath: string;

  beforeEach(async () => {
    world = new FakeWorld();
    test = await startDaemon(world.root, await world.engine(), { maxStreams: 4 });
    socketPath = test.socketPath;
  });
  afterEach(async () => {
    await test.daemon.stop();
    expect(world.leftovers()).to.deep.equal([]);
    world.dispose();
  });

  /** As any HTTP client has it. */
  function http(method: string, path: string, body?: unknown, headers = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
      const sent = request(
        {
          socketPath,
          method,
          path,
          agent: false,
          headers: { ...(payload && { 'content-type': 'application/json' }), ...headers },
        },
        (response) => {
          text(response).then(
            (read) => resolve({ status: response.statusCode ?? 0, body: read, headers: response.headers }),
            reject,
          );
        },
      );
      sent.once('error', reject);
      sent.end(payload);
    });
  }
  const code = (answer: Answer) => [answer.status, (JSON.parse(answer.body) as { code: string }).code];

  describe('its socket', () => {
    it('is its owner’s, and is gone with it', async () => {
      expect(statSync(socketPath).mode & 0o777).to.equal(0o600);
      await test.daemon.stop();
      expect(existsSync(socketPath)).to.equal(false);
    });

    it('one daemon has a state, and one a socket', async () => {
      const engine = await world.engine();
      const refused = await startDaemon(world.root, engine).catch((error: HyperplugError) => error);
      expect((refused as HyperplugError).code).to.equal('DAEMON_RUNNING');
      expect((refused as HyperplugError).message).to.include(String(process.pid));
      expect((await http('GET', '/v1/pods')).status).to.equal(200);
      await engine.close();
    });

    it('that is stale is replaced; one that answers, and what is no socket, is not', async () => {
      await test.daemon.stop();
      const stale = createServer().listen(socketPath);
      await once(stale, 'listening');
      const inUse = await startDaemon(world.root, await world.engine()).catch((error: HyperplugError) => error);
      expect((inUse as HyperplugError).code).to.equal('DAEMON_RUNNING');
      expect(existsSync(socketPath)).to.equal(true);
      stale.close();
      writeFileSync(socketPath, 'somebody’s file');
      const file = await startDaemon(world.root, await world.engine()).catch((error: HyperplugError) => error);
      expect((file as HyperplugError).code).to.equal('HOST_PERMISSION');
      expect(statSync(socketPath).isFile()).to.equal(true);
    });
  });

  describe('plain HTTP', () => {
    it('runs a pod and a command in it, as curl would', async () => {
      const made = await http('POST', '/v1/run', { id: 'web', keep: true });
      expect([made.status, (JSON.parse(made.body) as { id: string }).id]).to.deep.equal([201, 'web']);
      const ran = await http('POST', '/v1/pods/web/exec', { argv: ['cat'], input: 'héllo' });
      expect(ran.headers['content-type']).to.equal('application/x-ndjson');
      const lines = ran.body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object);
      expect(lines).to.deep.equal([{ stdout: 'héllo' }, { exit: { exitCode: 0 } }]);
      const binary = await http('POST', '/v1/pods/web/exec', {
        argv: ['cat'],
        input: Buffer.from([0, 255, 254]).toString('base64'),
        inputEncoding: 'base64',
        outputEncoding: 'base64',
      });
      expect(binary.body).to.include(`{"stdout":"${Buffer.from([0, 255, 254]).toString('base64')}"}`);
      expect(code(await http('POST', '/v1/pods/web/exec', { argv: ['no-such-program'] }))).to.deep.equal([
        422,
        'AGENT_EXEC_FAILED',
      ]);
      expect((await http('DELETE', '/v1/run/web')).body).to.equal('null');
    });

    it('a pod that is not kept needs a session, and ends with it', async () => {
      expect(code(await http('POST', '/v1/run', { id: 'web' }))).to.deep.equal([400, 'API_REQUEST_INVALID']);
      const open = request({ socketPath, method: 'POST', path: '/v1/sessions', agent: false });
      open.end();
      const [response] = (await once(open, 'response')) as [NodeJS.ReadableStream];
      const [line] = (await once(response, 'data')) as [Buffer];
      const { session } = JSON.parse(line.toString()) as { session: string };
      const made = await http('POST', '/v1/run', { id: 'web' }, { 'hyperplug-session': session });
      expect(made.status, made.body).to.equal(201);
      open.on('error', () => {});
      response.on('error', () => {});
      open.destroy();
      await eventually(async () => expect((await http('GET', '/v1/pods')).body).to.equal('[]'), 10_000);
    });

    it('errors have a code, words, fields, a status and the request’s id', async () => {
      const answer = await http('GET', '/v1/pods/nobody', undefined, { 'hyperplug-request-id': 'mine-1' });
      expect(answer.headers['hyperplug-request-id']).to.equal('mine-1');
      const body = JSON.parse(answer.body) as Record<string, unknown>;
      expect(body).to.deep.include({ code: 'POD_NOT_FOUND', requestId: 'mine-1' });
      expect(answer.status).to.equal(404);
      const checks: [string, string, unknown, number, string][] = [
        ['GET', '/v1/nothing', undefined, 404, 'API_NOT_FOUND'],
        ['PUT', '/v1/pods', {}, 404, 'API_NOT_FOUND'],
        ['POST', '/v1/pods', '{', 400, 'API_REQUEST_INVALID'],
        ['POST', '/v1/pods', { nonsense: 1 }, 400, 'POD_SPEC_INVALID'],
        ['GET', '/v1/pods?nonsense=1', undefined, 400, 'API_REQUEST_INVALID'],
        ['POST', '/v1/pods/a/exec', { argv: [] }, 400, 'API_REQUEST_INVALID'],
        ['POST', '/v1/pods/a/exec', { argv: ['a'], shell: true }, 400, 'API_REQUEST_INVALID'],
        ['POST', '/v1/networks/init', { names: ['nowhere'] }, 404, 'NET_NOT_FOUND'],
        ['GET', '/v1/events?since=-1', undefined, 400, 'API_REQUEST_INVALID'],
      ];
      for (const [method, path, sent, status, expected] of checks) {
        expect(code(await http(method, path, sent)), `${method} ${path}`).to.deep.equal([status, expected]);
      }
      const large = await http('POST', '/v1/pods', `"${'x'.repeat(1024 * 1024)}"`);
      expect(code(large)).to.deep.equal([413, 'API_TOO_LARGE']);
    });

    it('health and metrics', async () => {
      await http('POST', '/v1/run', { id: 'web', keep: true });
      expect(JSON.parse((await http('GET', '/healthz/live')).body)).to.deep.include({ status: 'ok' });
      expect(JSON.parse((await http('GET', '/healthz/ready')).body)).to.deep.include({ status: 'ok' });
      const { body } = await http('GET', '/metrics');
      expect(body).to.include('hyperplug_pods{state="running"} 1\n');
      expect(body).to.include('hyperplug_network_addresses{network="default",state="used"} 1\n');
      expect(body).to.include('hyperplug_network_addresses{network="default",state="free"} 252\n');
      expect(body).to.match(/hyperplug_operation_duration_seconds_count\{operation="runPod",status="2xx"\} 1\n/);
      expect(body).to.include('hyperplug_build_info{version="1.2.3"');
      expect(body).to.include('hyperplug_event_loop_delay_seconds{quantile="0.99"}');
      // Each line is a comment, or a name, labels and a number (Prometheus, text format).
      for (const line of body.trim().split('\n')) {
        expect(line).to.match(/^(# (HELP|TYPE) |[a-z_:]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.eInfNa]+$)/);
      }
      await http('DELETE', '/v1/run/web');
    });
  });

  describe('its streams', () => {
    it('are counted: one too many is refused, and there is room again when one ends', async () => {
      const client = await test.connect();
      const controllers = Array.from({ length: 4 }, () => new AbortController());
      const reading = controllers.map(async ({ signal }) => {
        for await (const _ of client.pods.events({ follow: true, signal }));
      });
      for (const each of reading) each.catch(() => {});
      await eventually(
        async () => expect(code(await http('GET', '/v1/events?follow'))).to.deep.equal([503, 'DAEMON_BUSY']),
        10_000,
      );
      controllers[0]?.abort();
      await eventually(async () => expect((await http('GET', '/v1/events')).status).to.equal(200), 10_000);
      await client.close();
      await Promise.allSettled(reading);
    });

    it('end with their client: what waits for a pod does not wait on', async () => {
      await http('POST', '/v1/run', { id: 'web', keep: true });
      for (const path of ['/v1/pods/web/exit', '/v1/pods/web/wait', '/v1/pods/web/logs?follow', '/v1/events?follow']) {
        const sent = request({ socketPath, path, agent: false });
        sent.on('error', () => {});
        sent.end();
        const streams = async () => /^hyperplug_streams (\d+)$/m.exec((await http('GET', '/metrics')).body)?.[1];
        await eventually(async () => expect(await streams(), path).to.equal('1'), 10_000);
        sent.destroy();
        await eventually(async () => expect(await streams(), path).to.equal('0'), 10_000);
      }
      await http('DELETE', '/v1/run/web');
    });

    it('a client that sends frames out of turn is told, and loses its connection; the pod is unharmed', async () => {
      await http('POST', '/v1/run', { id: 'web', keep: true });
      const start = jsonFrame(FRAME.start, { request: { argv: ['cat'] } });
      const wrong: Buffer[][] = [
        [Buffer.concat(dataFrame(FRAME.stdin, Buffer.from('x')))],
        [start, start],
        [jsonFrame(FRAME.start, { request: { argv: [] } })],
        [jsonFrame(FRAME.start, { request: { argv: ['cat'] }, more: 1 })],
        [start, Buffer.from([FRAME.stdin, 255, 255, 255, 255])],
        [start, jsonFrame(FRAME.credit, { stream: 'stdout', bytes: -1 })],
        [Buffer.from([FRAME.start, 0, 0, 0, 1, 0x7b])],
        [Buffer.from([99, 0, 0, 0, 0])],
      ];
      for (const frames of wrong) {
        const answered = await raw(
          socketPath,
          [
            `POST /v1/pods/web/exec HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: ${EXEC_PROTOCOL}\r\n\r\n`,
            ...frames,
          ],
          20,
        );
        expect(answered).to.include('101 Switching').and.include('API_REQUEST_INVALID');
      }
      expect((await http('POST', '/v1/pods/web/exec', { argv: ['true'] })).body).to.include('"exitCode":0');
      await http('DELETE', '/v1/run/web');
    });

    it('a client that goes away has its command killed, or left, as it said', async () => {
      await http('POST', '/v1/run', { id: 'web', keep: true });
      const guest = world.guests[0];
      for (const [onDisconnect, left] of [
        ['kill', false],
        ['leave', true],
      ] as const) {
        const sent = request({
          socketPath,
          method: 'POST',
          path: '/v1/pods/web/exec',
          agent: false,
          headers: { 'content-type': 'application/json' },
        });
        sent.on('error', () => {});
        sent.end(JSON.stringify({ argv: ['sleep', '60'], onDisconnect }));
        await once(sent, 'response');
        const metric = async () => /^hyperplug_commands (\d+)$/m.exec((await http('GET', '/metrics')).body)?.[1];
        expect(await metric()).to.equal('1');
        sent.destroy();
        if (left) await new Promise((resolve) => setTimeout(resolve, 200));
        await eventually(async () => expect(await metric()).to.equal(left ? '1' : '0'), 10_000);
      }
      expect(guest).to.not.equal(undefined);
      await http('DELETE', '/v1/run/web');
    });
  });

  describe('its end', () => {
    it('lets kept pods run on, removes the others, and tells who waits', async () => {
      const client = await test.connect();
      const kept = await client.createPod({ id: 'kept', keep: true });
      await client.createPod({ id: 'short' });
      const command = kept.exec(['sleep', '60']);
      await command.started;
      const waiting = client.pods.wait('kept');
      waiting.catch(() => {});
      const [, failed, waited] = await Promise.all([
        test.daemon.stop(),
        command.then(
          () => undefined,
          (error: HyperplugError) => error.code,
        ),
        waiting.then(
          () => undefined,
          (error: HyperplugError) => error.code,
        ),
      ]);
      expect(failed).to.equal('DAEMON_LOST');
      expect(waited).to.be.oneOf(['ABORTED', 'DAEMON_LOST']);
      await client.close().catch(() => {});
      const engine = await world.engine();
      expect((await engine.listPods()).map(({ id, state }) => `${id} ${state}`)).to.deep.equal(['kept running']);
      const next = await startDaemon(world.root, engine);
      const again = await next.connect();
      expect((await (await again.openPod('kept')).exec(['echo', 'on'])).stdout).to.equal('on');
      await next.daemon.stop({ stopPods: true });
      const after = await world.engine();
      expect((await after.listPods()).map(({ id, state }) => `${id} ${state}`)).to.deep.equal(['kept exited']);
      await after.removePod('kept');
      await after.close();
      await again.close();
    });

    it('a pod’s exit is told though the daemon was another meanwhile', async () => {
      const client = await test.connect();
      const pod = await client.createPod({ id: 'kept', keep: true });
      await test.daemon.stop();
      const next = await startDaemon(world.root, await world.engine());
      const { pid } = (await client.listPods())[0] ?? {};
      world.killVm(pid ?? 0);
      expect((await pod.exited).reason).to.be.a('string');
      await client.removePod('kept');
      await client.close();
      await next.daemon.stop();
    });
  });
});

/** What comes back until the other side closes; each piece is sent a little after the one before. */
async function raw(path: string, pieces: readonly (string | Buffer)[], pauseMs: number): Promise<string> {
  const socket = connect(path);
  socket.on('error', () => {});
  const answer = text(socket).catch(() => '');
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return answer;
}
