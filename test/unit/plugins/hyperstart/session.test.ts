import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import type { GuestSession } from '../../../../src/core/agent.js';
import { HyperplugError } from '../../../../src/core/errors.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import type { HyperstartSession } from '../../../../src/plugins/hyperstart/session.js';
import { FakeAgent } from '../../../support/fake-agent/peer.js';
import { rejects } from '../../../support/rejects.js';
import { calls, command, connect, newAgent, outcome, text } from './connect.js';

const MAC = '52:54:00:00:00:01';

async function hash(stream: NodeJS.ReadableStream): Promise<{ bytes: number; sha256: string }> {
  let bytes = 0;
  const sha256 = createHash('sha256');
  for await (const chunk of stream) {
    sha256.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: sha256.digest('hex') };
}

for (const original of [false, true]) {
  describe(`hyperstart session with ${original ? 'an original agent' : 'our agent'}`, () => {
    let fake: FakeAgent;
    let session: GuestSession;

    beforeEach(async () => {
      ({ fake, session } = await connect({ original }));
    });

    afterEach(async () => {
      await session.close();
      fake.die();
    });

    it('says what it can do', () => {
      expect(session.description).to.equal(
        original ? 'hyperstart 4244' : 'hyperstart 4244 + hyperplug 1 (agent fake 1)',
      );
      const able = !original;
      expect(session.features).to.deep.equal({
        nicByMac: able,
        readNetwork: able,
        errorTexts: able,
        streamCredit: able,
        ipv6: able,
        containers: able,
        volumes: able,
        renewal: able,
        stats: able,
      });
    });

    it('starts the pod, pings, brings CPUs online, destroys', async () => {
      const pod = { hostname: 'pod1', dns: ['10.0.2.3'], dnsSearch: ['example'], dnsOptions: ['ndots:1'] };
      await session.startPod(pod, calls());
      expect(fake.pod).to.deep.equal(pod);
      await session.ping(calls());
      await session.onlineCpuMemory(calls());
      await session.destroyPod(calls());
      expect(fake.received.map(({ code }) => code)).to.deep.equal([
        COMMAND.STARTPOD,
        COMMAND.PING,
        COMMAND.ONLINECPUMEM,
        COMMAND.DESTROYPOD,
      ]);
    });

    it('runs a program: stdout, stderr apart, exit code, environment', async () => {
      const out = await session.exec(command('echo', 'hi', 'there'), calls());
      expect(await outcome(out)).to.deep.equal({ stdout: 'hi there\n', stderr: '', exitCode: 0 });
      const err = await session.exec(command('echo-err', 'oops'), calls());
      expect(await outcome(err)).to.deep.equal({ stdout: '', stderr: 'oops\n', exitCode: 0 });
      const env = await session.exec({ ...command('env'), env: { A: '1', B: 'two words' } }, calls());
      expect((await outcome(env)).stdout).to.equal('A=1\nB=two words\n');
      const seven = await session.exec(command('exit', '7'), calls());
      expect((await outcome(seven)).exitCode).to.equal(7);
    });

    it('passes stdin to the program and its end', async () => {
      const process = await session.exec(command('cat'), calls());
      const sent = randomBytes(20_000).toString('hex');
      process.stdin.end(sent);
      expect((await outcome(process)).stdout === sent).to.equal(true);
    });

    it('ends a program when its stdin is destroyed', async () => {
      const process = await session.exec(command('cat'), calls());
      process.stdin.destroy();
      expect((await outcome(process)).exitCode).to.equal(0);
    });

    it('a terminal has one output, and the other has ended from the start', async () => {
      const process = await session.exec(
        { ...command('echo-err', 'x'), terminal: true, size: { rows: 5, columns: 9 } },
        calls(),
      );
      expect(await text(process.stderr)).to.equal('');
      expect(await text(process.stdout)).to.equal('x\n');
    });

    it('ends a terminal program by the end of its input', async () => {
      const process = await session.exec({ ...command('cat'), terminal: true }, calls());
      process.stdin.end('abc');
      const { stdout, exitCode } = await outcome(process);
      expect(exitCode).to.equal(0);
      expect(stdout.replace('\u0004', '')).to.equal('abc');
    });

    it('writes and reads files, whatever is in their names', async () => {
      const content = randomBytes(100_000);
      await session.writeFile('/tmp/a}{"b', content, calls());
      expect((await session.readFile('/tmp/a}{"b', calls())).equals(content)).to.equal(true);
      await rejects(session.readFile('/nope', calls()), 'AGENT_REFUSED', original ? 'gives no reason' : 'No such file');
      await rejects(session.writeFile('/big', Buffer.alloc(16 * 1024 * 1024 + 1), calls()), 'AGENT_REFUSED', 'content');
      await rejects(session.writeFile('relative', Buffer.alloc(1), calls()), 'AGENT_REFUSED', 'path');
    });

    it('runs 50 programs at once', async () => {
      const shared = calls();
      const warnings: Error[] = [];
      const onWarning = (warning: Error) => warnings.push(warning);
      globalThis.process.on('warning', onWarning);
      const runs = Array.from({ length: 50 }, async (_, index) => {
        const process = await session.exec(command('echo', `n${index}`), shared);
        return (await outcome(process)).stdout;
      });
      expect(await Promise.all(runs)).to.deep.equal(runs.map((_, index) => `n${index}\n`));
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.process.off('warning', onWarning);
      expect(warnings.filter(({ message }) => message.includes('AbortSignal'))).to.deep.equal([]);
    });

    it('drops the output that nobody reads any more, and the program ends', async () => {
      const process = await session.exec(command('zeros', String(3 * 1024 * 1024)), calls());
      process.stdout.destroy();
      expect((await process.exited).exitCode).to.equal(0);
    });

    it('a call aborted before it is made sends nothing; one aborted later keeps answers apart', async () => {
      const before = fake.received.length;
      await rejects(session.ping({ signal: AbortSignal.abort() }), 'ABORTED');
      expect(fake.received.length).to.equal(before);
      const answers: (() => void)[] = [];
      fake.intercept = (code, id) => {
        if (code === COMMAND.READFILE) answers.push(() => fake.ack(id, Buffer.from('late')));
        return code === COMMAND.READFILE;
      };
      const abort = new AbortController();
      const late = session.readFile('/late', { signal: abort.signal });
      while (answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
      abort.abort(new HyperplugError('TIMEOUT', 'too slow'));
      await rejects(late, 'TIMEOUT', 'too slow');
      fake.intercept = undefined;
      const next = session.ping(calls());
      answers[0]!();
      await next;
      await session.writeFile('/f', Buffer.from('x'), calls());
      expect((await session.readFile('/f', calls())).toString()).to.equal('x');
    });

    it('fails all that waits, at once and with the reason, when a channel dies', async () => {
      const process = await session.exec(command('sleep'), calls());
      const waiting = [
        rejects(process.exited, 'AGENT_CLOSED'),
        rejects(text(process.stdout), 'AGENT_CLOSED'),
        rejects(new Promise((_, reject) => process.stdin.on('error', reject)), 'AGENT_CLOSED'),
      ];
      fake.die(new Error('boom'));
      await Promise.all(waiting);
      expect((await session.closed).message).to.match(/boom|closed/);
      await rejects(session.ping(calls()), 'AGENT_CLOSED');
      await rejects(session.exec(command('true'), calls()), 'AGENT_CLOSED');
    });

    it('closes twice, and says why it is closed', async () => {
      const process = await session.exec(command('sleep'), calls());
      await Promise.all([session.close(), session.close()]);
      expect((await session.closed).message).to.include('owner');
      await rejects(process.exited, 'AGENT_CLOSED', 'owner');
      for (const channel of fake.channels) expect(channel.destroyed).to.equal(true);
    });

    it('forgets a process that has ended, and sends nothing more for it', async () => {
      const process = await session.exec(command('echo', 'x'), calls());
      await outcome(process);
      await session.ping(calls());
      expect((session as HyperstartSession).parts.processes.size).to.equal(0);
      expect(fake.strayEnds).to.deep.equal([]);
    });

    it('a program started for a caller that has gone is ended', async () => {
      const held: (() => void)[] = [];
      fake.intercept = (code, id, body) => {
        if (code !== COMMAND.EXECCMD) return false;
        held.push(() => fake.exec(id, JSON.parse(body.toString()).process));
        return true;
      };
      const abort = new AbortController();
      const call = session.exec(command('cat'), { signal: abort.signal });
      while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
      abort.abort();
      await rejects(call, 'ABORTED');
      held[0]!();
      while (fake.processes.size > 0) await new Promise((resolve) => setImmediate(resolve));
      await session.ping(calls());
      expect((session as HyperstartSession).parts.processes.size).to.equal(0);
    });

    it('kills nothing that has ended', async () => {
      const process = await session.exec(command('true'), calls());
      await process.exited;
      await rejects(process.kill(9, calls()), 'AGENT_REFUSED', 'ended already');
      await rejects(process.resize({ rows: 1, columns: 1 }, calls()), 'AGENT_REFUSED', 'ended already');
    });
  });
}

describe('hyperstart session with our agent, what an original cannot', () => {
  let fake: FakeAgent;
  let session: GuestSession;

  beforeEach(async () => {
    ({ fake, session } = await connect());
  });

  afterEach(async () => {
    await session.close();
    fake.die();
  });

  it('says why a program could not be started', async () => {
    const error = await rejects(session.exec(command('/nope'), calls()), 'AGENT_EXEC_FAILED', 'No such file');
    expect(error.details).to.include({ errno: 2, agentCode: 'EXEC' });
  });

  it('kills, and tells the signal', async () => {
    const process = await session.exec(command('sleep'), calls());
    await process.kill(15, calls());
    expect(await process.exited).to.deep.equal({ exitCode: 143, signal: 15 });
  });

  it('sets the first and the later sizes of a terminal', async () => {
    const sized = await session.exec({ ...command('size'), terminal: true, size: { rows: 24, columns: 80 } }, calls());
    expect(await text(sized.stdout)).to.equal('24 80\n');
    const process = await session.exec({ ...command('cat'), terminal: true }, calls());
    await process.resize({ rows: 50, columns: 132 }, calls());
    expect([...fake.processes.values()].at(-1)?.size).to.deep.equal({ rows: 50, columns: 132 });
    process.stdin.end();
  });

  it('moves 64 MiB each way through cat, unchanged', async function () {
    this.timeout(60_000);
    const block = randomBytes(1024 * 1024);
    const source = () => Readable.from(Array.from({ length: 64 }, () => block));
    const process = await session.exec(command('cat'), calls(60_000));
    const [, seen, expected] = await Promise.all([
      pipeline(source(), process.stdin),
      hash(process.stdout),
      hash(source()),
    ]);
    expect(seen).to.deep.equal(expected);
  });

  it('holds no more than its credit for a reader that does not read, and holds up no other', async () => {
    const slow = await session.exec(command('yes'), calls());
    const other = await session.exec(command('zeros', String(8 * 1024 * 1024)), calls());
    expect((await hash(other.stdout)).bytes).to.equal(8 * 1024 * 1024);
    expect((slow.stdout as unknown as { heldBytes: number }).heldBytes).to.be.within(1, 256 * 1024);
    await slow.kill(9, calls());
    slow.stdout.destroy();
    await slow.exited;
  });

  it('the callback of a write comes only as the program reads', async () => {
    const process = await session.exec(command('sleep'), calls());
    let written = false;
    process.stdin.write(Buffer.alloc(256 * 1024 + 1), () => {
      written = true;
    });
    await session.ping(calls());
    expect(written).to.equal(false);
    const first = [...fake.processes.values()][0]!;
    first.consume(1);
    await session.ping(calls());
    expect(written).to.equal(true);
    await process.kill(9, calls());
    await process.exited;
    expect(process.stdin.destroyed).to.equal(true);
  });

  it('a program started for a caller that has gone is killed', async () => {
    const held: (() => void)[] = [];
    fake.intercept = (code, id, body) => {
      if (code !== COMMAND.EXECCMD) return false;
      held.push(() => fake.exec(id, JSON.parse(body.toString()).process));
      return true;
    };
    const abort = new AbortController();
    const call = session.exec(command('sleep'), { signal: abort.signal });
    await session.ping(calls());
    abort.abort();
    await rejects(call, 'ABORTED');
    held[0]!();
    const [process] = fake.processes.values();
    expect(await process!.killed).to.equal(9);
  });

  it('commands do not wait for each other', async () => {
    const nic = { mac: MAC, expectedName: 'eth0', addAddresses: [], removeAddresses: [] };
    const waiting = session.setupInterface(nic, calls());
    await session.ping(calls());
    fake.network.plug(MAC);
    expect((await waiting).name).to.equal('eth0');
  });

  it('sets NICs up by MAC and reads the network back', async () => {
    fake.network.plug('52:54:00:00:00:99');
    fake.network.plug(MAC);
    const nic = await session.setupInterface(
      {
        mac: MAC,
        expectedName: 'eth0',
        name: 'net0',
        mtu: 1400,
        addAddresses: [
          { address: '10.0.0.2', prefixLength: 24 },
          { address: 'FD00:0::2', prefixLength: 64 },
        ],
        removeAddresses: [],
      },
      calls(),
    );
    expect(nic).to.deep.include({ name: 'net0', mac: MAC, mtu: 1400, up: true, index: 3 });
    expect(nic.addresses).to.deep.equal([
      { address: '10.0.0.2', prefixLength: 24 },
      { address: 'fd00::2', prefixLength: 64 },
    ]);
    await session.addRoutes([{ destination: 'default', gateway: '10.0.0.1', mac: MAC, metric: 5 }], calls());
    const { links, routes } = await session.readNetwork(calls());
    expect(links.map(({ name }) => name)).to.deep.equal(['lo', 'eth0', 'net0']);
    expect(routes).to.deep.equal([{ destination: 'default', gateway: '10.0.0.1', device: 'net0', metric: 5 }]);
    await session.removeRoutes([{ destination: 'default' }], calls());
    expect((await session.readNetwork(calls())).routes).to.deep.equal([]);
    await session.deleteInterface({ mac: MAC, expectedName: 'eth0' }, calls());
    await rejects(session.deleteInterface({ mac: 'aa', expectedName: 'eth7' }, calls()), 'AGENT_REFUSED', 'no NIC aa');
  });

  it('believes no acknowledgement whose read-back differs, and names what differs', async () => {
    const lies: [string, (link: { [key: string]: unknown }) => void][] = [
      ['mtu: expected 1400, the guest has 1500', (link) => Object.assign(link, { mtu: 1500 })],
      ['name: expected net0', (link) => Object.assign(link, { name: 'eth0' })],
      ['up: expected true', (link) => Object.assign(link, { up: false })],
      ['mac: expected', (link) => Object.assign(link, { mac: '52:54:00:00:00:02' })],
      ['10.0.0.2/24 is missing', (link) => Object.assign(link, { addresses: [{ address: '10.0.0.2', prefix: 16 }] })],
      [
        '10.0.0.9/24 is still there',
        (link) => Object.assign(link, { addresses: [2, 9].map((n) => ({ address: `10.0.0.${n}`, prefix: 24 })) }),
      ],
    ];
    for (const [words, lie] of lies) {
      const { fake: liar, session: told } = await connect({
        lie: (link) => {
          lie(link as never);
          return link;
        },
      });
      liar.network.plug(MAC);
      const config = {
        mac: MAC,
        expectedName: 'eth0',
        name: 'net0',
        mtu: 1400,
        addAddresses: [{ address: '10.0.0.2', prefixLength: 24 }],
        removeAddresses: [{ address: '10.0.0.9', prefixLength: 24 }],
      };
      liar.network.find(({ mac }) => mac === MAC)!.addresses.push({ address: '10.0.0.9', prefix: 24, family: 4 });
      await rejects(told.setupInterface(config, calls()), 'AGENT_REFUSED', words);
      await told.close();
      liar.die();
    }
  });
});

describe('hyperstart session with an original agent, what it cannot', () => {
  it('is said as NOT_SUPPORTED, and nothing is sent', async () => {
    const { fake, session } = await connect({ original: true });
    const route = { destination: 'default', gateway: '10.0.0.1' };
    await rejects(session.readNetwork(calls()), 'NOT_SUPPORTED');
    await rejects(session.removeRoutes([route], calls()), 'NOT_SUPPORTED');
    await rejects(session.addRoutes([{ ...route, mac: MAC }], calls()), 'NOT_SUPPORTED', 'mac');
    await rejects(session.addRoutes([{ ...route, metric: 1 }], calls()), 'NOT_SUPPORTED', 'metric');
    await rejects(session.addRoutes([{ destination: 'fd00::/64' }], calls()), 'NOT_SUPPORTED', 'fd00::/64');
    const nic = { mac: MAC, expectedName: 'eth0', removeAddresses: [] };
    const address = { address: 'fd00::1', prefixLength: 64 };
    await rejects(session.setupInterface({ ...nic, addAddresses: [address] }, calls()), 'NOT_SUPPORTED', 'fd00::1');
    expect(fake.received).to.deep.equal([]);
    await session.close();
    fake.die();
  });

  it('NICs are found by the expected name, only known keys are sent, routes by the name given', async () => {
    const { fake, session } = await connect({ original: true });
    fake.network.plug(MAC, 'eth0');
    const nic = await session.setupInterface(
      {
        mac: MAC,
        expectedName: 'eth0',
        name: 'net0',
        mtu: 1450,
        addAddresses: [{ address: '10.0.0.2', prefixLength: 20 }],
        removeAddresses: [{ address: '10.0.0.3', prefixLength: 24 }],
      },
      calls(),
    );
    expect(nic).to.deep.equal({ name: 'net0', mac: MAC, addresses: [{ address: '10.0.0.2', prefixLength: 20 }] });
    await session.addRoutes([{ destination: 'default', gateway: '10.0.0.1', mac: MAC }], calls());
    const sent = fake.received.map(({ body }) => JSON.parse(body.toString()));
    expect(sent).to.deep.equal([
      {
        device: 'eth0',
        newDeviceName: 'net0',
        ipAddresses: [
          { ipAddress: '-10.0.0.3', netMask: '255.255.255.0' },
          { ipAddress: '10.0.0.2', netMask: '255.255.240.0' },
        ],
        mtu: 1450,
      },
      { routes: [{ dest: 'default', gateway: '10.0.0.1', device: 'net0' }] },
    ]);
    await session.close();
    fake.die();
  });
});

describe('hyperstart agent', () => {
  it('takes two channels and a window in which the handshake fits, and destroys what it does not take', async () => {
    const { channels } = new FakeAgent();
    const agent = newAgent();
    let thrown: unknown;
    await agent
      .connect({ channels: [channels[0]], creditWindowBytes: null, resumed: false }, calls())
      .catch((error) => {
        thrown = error;
      });
    expect(thrown).to.be.instanceOf(TypeError);
    expect(channels[0].destroyed).to.equal(true);
  });
});
