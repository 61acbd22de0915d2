import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import type { ExecSpec, GuestProcess, GuestSession } from '../../src/core/agent.js';
import type { CallOptions } from '../../src/core/calls.js';
import { HyperstartAgent } from '../../src/plugins/hyperstart/agent.js';
import { AgentProgram, agentNeeds } from '../support/agent-program.js';
import { rejects } from '../support/rejects.js';
import { requireOrSkip } from '../support/require.js';

const calls = (timeoutMs = 60_000): CallOptions => ({ signal: AbortSignal.timeout(timeoutMs) });
const MAC = '52:54:00:12:34:56';

function command(...argv: string[]): ExecSpec {
  return { argv, env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, workingDirectory: '/', terminal: false };
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function outcome(process: GuestProcess) {
  const [stdout, stderr, exit] = await Promise.all([text(process.stdout), text(process.stderr), process.exited]);
  return { stdout, stderr, ...exit };
}

async function sha256(stream: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

describe('hyperstart client with the agent of this package', function () {
  this.timeout(120_000);
  let program: AgentProgram;
  let session: GuestSession;

  const connect = async (resumed: boolean, creditWindowBytes: number | null = null) => {
    session = await new HyperstartAgent({ nicTimeoutMs: 5_000 }).connect(
      { channels: await program.channels(), creditWindowBytes, resumed },
      calls(),
    );
  };
  const run = (...argv: string[]) => session.exec(command(...argv), calls());
  const sh = async (script: string) => outcome(await run('/bin/sh', '-c', script));

  before(async function () {
    requireOrSkip(this, ...(await agentNeeds()));
    await AgentProgram.build();
  });

  after(() => AgentProgram.remove());

  beforeEach(async () => {
    program = await AgentProgram.start();
    await connect(false);
  });

  afterEach(async () => {
    await session?.close();
    await program.stop();
  });

  it('agrees on the extension', () => {
    expect(session.description).to.match(/^hyperstart 4244 \+ hyperplug 1 \(agent .+\)$/);
    expect(Object.values(session.features)).to.satisfy((all: boolean[]) => all.every(Boolean));
  });

  it('runs programs: streams apart, exit code, environment, working directory', async () => {
    expect(await sh('echo out; echo err >&2; exit 7')).to.deep.equal({ stdout: 'out\n', stderr: 'err\n', exitCode: 7 });
    const spec = { ...command('/bin/sh', '-c', 'echo $A; pwd'), env: { A: 'two words' }, workingDirectory: '/tmp' };
    expect((await outcome(await session.exec(spec, calls()))).stdout).to.equal('two words\n/tmp\n');
  });

  it('starts the pod: host name and resolver', async () => {
    await session.startPod(
      { hostname: 'pod1', dns: ['10.0.2.3', 'fd00::3'], dnsSearch: ['a.example'], dnsOptions: ['ndots:1'] },
      calls(),
    );
    expect((await sh('hostname')).stdout).to.equal('pod1\n');
    const resolver = await readFile(`${program.directory}/root/etc/resolv.conf`, 'utf8');
    expect(resolver).to.include('nameserver 10.0.2.3\n').and.include('nameserver fd00::3\n').and.include('ndots:1');
    expect(resolver).to.match(/^search a\.example$/m);
    await session.onlineCpuMemory(calls());
  });

  it('takes no machine id that is none, and leaves the one there is', async () => {
    const setup = { hostname: 'pod1', dns: [], dnsSearch: [], dnsOptions: [] };
    await session.startPod({ ...setup, machineId: '0123456789abcdef'.repeat(2) }, calls());
    for (const machineId of ['', 'A'.repeat(32), 'a'.repeat(33), `${'a'.repeat(31)}\n`]) {
      await rejects(session.startPod({ ...setup, machineId }, calls()), 'AGENT_REFUSED', 'expected 32 digits');
    }
    const path = `${program.directory}/root/etc/machine-id`;
    expect(await readFile(path, 'utf8')).to.equal(`${'0123456789abcdef'.repeat(2)}\n`);
  });

  it('says why a program could not be started', async () => {
    const error = await rejects(run('/no/such/program'), 'AGENT_EXEC_FAILED', 'No such file or directory');
    expect(error.details).to.include({ errno: 2 });
    await rejects(
      session.exec({ ...command('/bin/true'), workingDirectory: '/no/such' }, calls()),
      'AGENT_EXEC_FAILED',
      'No such file or directory',
    );
    await rejects(session.exec({ ...command('/bin/true'), user: 'nobody-such' }, calls()), 'AGENT_EXEC_FAILED');
  });

  it('runs as another user', async () => {
    const { stdout } = await outcome(await session.exec({ ...command('id', '-u'), user: 'nobody' }, calls()));
    expect(stdout).to.equal('65534\n');
  });

  it('tells signals', async () => {
    const sleeping = await run('sleep', '100');
    await sleeping.kill(15, calls());
    expect(await sleeping.exited).to.deep.equal({ exitCode: 143, signal: 15 });
    await rejects(sleeping.kill(15, calls()), 'AGENT_REFUSED', 'ended already');
  });

  it('100 MB through sha256sum, and through cat, unchanged', async () => {
    const block = randomBytes(1_000_000);
    const source = () => Readable.from(Array.from({ length: 100 }, () => block));
    const expected = await sha256(source());
    const summed = await run('sha256sum');
    const [sum] = await Promise.all([text(summed.stdout), pipeline(source(), summed.stdin)]);
    expect(sum).to.equal(`${expected}  -\n`);
    const cat = await run('cat');
    const [seen] = await Promise.all([sha256(cat.stdout), pipeline(source(), cat.stdin)]);
    expect(seen).to.equal(expected);
    expect((await cat.exited).exitCode).to.equal(0);
  });

  it('a terminal: its size, its changes, echo, Ctrl-C, end of input', async () => {
    const spec = { ...command('/bin/sh', '-c', 'stty size; read x; stty size; cat'), terminal: true };
    const terminal = await session.exec({ ...spec, size: { rows: 24, columns: 80 } }, calls());
    let seen = '';
    terminal.stdout.on('data', (chunk) => {
      seen += chunk;
    });
    const shows = async (pattern: RegExp) => {
      while (!pattern.test(seen)) await new Promise((resolve) => terminal.stdout.once('data', resolve));
    };
    await shows(/24 80/);
    await terminal.resize({ rows: 50, columns: 132 }, calls());
    terminal.stdin.write('go\n');
    await shows(/50 132/);
    terminal.stdin.write('hello\n');
    await shows(/hello\r\nhello\r\n/);
    terminal.stdin.end();
    expect((await terminal.exited).exitCode).to.equal(0);
    const interrupted = await session.exec({ ...command('sleep', '100'), terminal: true }, calls());
    interrupted.stdout.resume();
    interrupted.stdin.write('\u0003');
    expect((await interrupted.exited).exitCode).to.equal(130);
  });

  it('50 programs at once', async () => {
    const runs = Array.from(
      { length: 50 },
      async (_, n) => (await sh(`echo ${n}; echo e${n} >&2; exit ${n}`)) as object,
    );
    expect(await Promise.all(runs)).to.deep.equal(
      runs.map((_, n) => ({ stdout: `${n}\n`, stderr: `e${n}\n`, exitCode: n })),
    );
  });

  it('a reader that does not read holds up no other, and loses nothing', async () => {
    const slow = await run('/bin/sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x');
    const fast = await run('head', '-c', '20000000', '/dev/zero');
    let bytes = 0;
    for await (const chunk of fast.stdout) bytes += (chunk as Buffer).length;
    expect(bytes).to.equal(20_000_000);
    expect((slow.stdout as unknown as { heldBytes: number }).heldBytes).to.be.within(1, 256 * 1024);
    expect((await text(slow.stdout)).length).to.equal(3_000_000);
  });

  it('a program that does not read its stdin holds up its writer alone', async () => {
    const deaf = await run('sleep', '100');
    let written = false;
    deaf.stdin.write(Buffer.alloc(2_000_000), () => {
      written = true;
    });
    const cat = await run('cat');
    cat.stdin.end(Buffer.alloc(2_000_000, 120));
    expect((await text(cat.stdout)).length).to.equal(2_000_000);
    expect(written).to.equal(false);
    await deaf.kill(9, calls());
    await deaf.exited;
  });

  it('output destroyed early does not stop the program', async () => {
    const process = await run('head', '-c', '5000000', '/dev/zero');
    process.stdout.destroy();
    expect((await process.exited).exitCode).to.equal(0);
  });

  it('files: written in one step, read back, refused with the reason', async () => {
    const path = `${program.directory}/a file}{`;
    const content = randomBytes(3_000_000);
    await session.writeFile(path, content, calls());
    expect((await session.readFile(path, calls())).equals(content)).to.equal(true);
    await session.writeFile(path, Buffer.alloc(0), calls());
    expect((await session.readFile(path, calls())).length).to.equal(0);
    await rejects(session.readFile('/no/such', calls()), 'AGENT_REFUSED', 'No such file or directory');
    await rejects(session.writeFile('/no/such/file', content, calls()), 'AGENT_REFUSED', 'No such file or directory');
  });

  it('a NIC: awaited, found by MAC, set up and read back; routes; taken away', async () => {
    const nic = {
      mac: MAC,
      expectedName: 'eth0',
      name: 'net0',
      mtu: 1400,
      addAddresses: [
        { address: '10.77.0.10', prefixLength: 24 },
        { address: 'fd00:77::a', prefixLength: 64 },
      ],
      removeAddresses: [],
    };
    const waiting = session.setupInterface(nic, calls());
    await session.ping(calls());
    const made = await sh(`ip link add veth7 address ${MAC} type veth peer name peer7`);
    expect(made).to.include({ exitCode: 0, stderr: '' });
    const seen = await waiting;
    expect(seen).to.include({ name: 'net0', mac: MAC, mtu: 1400, up: true });
    const [link] = JSON.parse((await sh('ip -j addr show dev net0')).stdout);
    expect(link).to.include({ mtu: 1400, address: MAC });
    const has = link.addr_info.map((one: { local: string; prefixlen: number }) => `${one.local}/${one.prefixlen}`);
    expect(has).to.include.members(['10.77.0.10/24', 'fd00:77::a/64']);

    const routes = [
      { destination: 'default', gateway: '10.77.0.1', mac: MAC },
      { destination: 'default', gateway: 'fd00:77::1', mac: MAC, metric: 77 },
      { destination: '192.168.9.0/24', gateway: '10.77.0.2', mac: MAC },
    ];
    await session.addRoutes(routes, calls());
    const network = await session.readNetwork(calls());
    for (const { destination, gateway } of routes) {
      expect(network.routes.some((route) => route.destination === destination && route.gateway === gateway)).to.equal(
        true,
      );
    }
    const unreachable = { destination: '192.168.5.0/24', gateway: '172.31.0.1', mac: MAC };
    const { details } = await rejects(session.addRoutes([unreachable], calls()), 'AGENT_REFUSED');
    expect(details.errno).to.be.a('number');

    const changed = await session.setupInterface(
      { ...nic, addAddresses: [{ address: '10.77.0.11', prefixLength: 24 }], removeAddresses: [nic.addAddresses[1]!] },
      calls(),
    );
    expect(changed.addresses.map(({ address }) => address))
      .to.include('10.77.0.11')
      .and.not.include('fd00:77::a');
    expect((await session.readNetwork(calls())).routes.some(({ gateway }) => gateway === '10.77.0.1')).to.equal(true);

    await session.removeRoutes([routes[2]!], calls());
    expect((await sh('ip route')).stdout)
      .to.include('default via 10.77.0.1')
      .and.not.include('192.168.9.0');
    await session.deleteInterface({ mac: MAC, expectedName: 'eth0' }, calls());
    const [down] = JSON.parse((await sh('ip -j addr show dev net0')).stdout);
    expect(down.flags).to.not.include('UP');
    expect(down.addr_info).to.deep.equal([]);
  });

  it('what the kernel refuses is refused with its reason, and nothing of it remains', async () => {
    expect((await sh(`ip link add veth7 address ${MAC} type veth peer name peer7`)).exitCode).to.equal(0);
    const nic = { mac: MAC, expectedName: 'veth7', addAddresses: [], removeAddresses: [] };
    const { details } = await rejects(session.setupInterface({ ...nic, mtu: 10 }, calls()), 'AGENT_REFUSED');
    expect(details).to.include({ agentCode: 'KERNEL', errno: 22 });
    const missing = { ...nic, mac: '52:54:00:00:00:99' };
    await rejects(session.setupInterface(missing, calls(200)), 'TIMEOUT');
    await session.ping(calls());
  });

  it('resumes after the host went away, and after it lost its place', async () => {
    const kept = await run('/bin/sh', '-c', `sleep 1; echo still > ${program.directory}/kept; sleep 100`);
    for (const cut of ['orderly', 'abrupt'] as const) {
      const busy = await run('cat');
      const writing = pipeline(Readable.from([randomBytes(3_000_000)]), busy.stdin).catch(() => {});
      if (cut === 'orderly') await session.close();
      else for (const channel of program.open) channel.destroy();
      await rejects(kept.exited, 'AGENT_CLOSED');
      await writing;
      await connect(true);
      expect((await sh('echo again')).stdout).to.equal('again\n');
    }
    while ((await sh(`cat ${program.directory}/kept`)).stdout !== 'still\n') {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  it('resumes a hundred times at once upon the end before', async () => {
    for (let n = 0; n < 100; n += 1) {
      const busy = await run('head', '-c', '1000000', '/dev/zero');
      busy.stdout.resume();
      for (const channel of program.open) channel.destroy();
      await connect(true);
      await session.ping(calls(10_000));
    }
    expect((await sh('echo again')).stdout).to.equal('again\n');
  });

  it('on a weak channel: within its window, and all arrives', async () => {
    await session.close();
    await connect(true, 1024);
    const content = randomBytes(100_000);
    await session.writeFile(`${program.directory}/f`, content, calls());
    const cat = await run('cat', `${program.directory}/f`, '-');
    cat.stdin.end(content);
    expect(await sha256(cat.stdout)).to.equal(createHash('sha256').update(content).update(content).digest('hex'));
  });

  it('in the base protocol, as with an original: all that this can', async () => {
    await session.close();
    const [control, streams] = await program.channels();
    session = await new HyperstartAgent({ nicTimeoutMs: 5_000 }).connect(
      { channels: [withoutHello(control!), streams!], creditWindowBytes: null, resumed: true },
      calls(),
    );
    expect(session.description).to.equal('hyperstart 4244');
    await session.ping(calls());
    expect(await sh('echo out; echo err >&2; exit 7')).to.deep.equal({ stdout: 'out\n', stderr: 'err\n', exitCode: 7 });
    const cat = await run('cat');
    const sent = randomBytes(30_000).toString('hex');
    cat.stdin.end(sent);
    expect((await text(cat.stdout)) === sent).to.equal(true);
    const runs = Array.from({ length: 20 }, async (_, n) => (await sh(`echo ${n}`)).stdout);
    expect(await Promise.all(runs)).to.deep.equal(runs.map((_, n) => `${n}\n`));
    const content = randomBytes(50_000);
    await session.writeFile(`${program.directory}/f`, content, calls());
    expect((await session.readFile(`${program.directory}/f`, calls())).equals(content)).to.equal(true);
    await rejects(session.readFile('/no/such', calls()), 'AGENT_REFUSED', 'gives no reason');
    await program.plug(MAC, 'eth5', 'peer5');
    const addAddresses = [{ address: '10.77.0.10', prefixLength: 24 }];
    const nic = { mac: MAC, expectedName: 'eth5', name: 'net0', addAddresses, removeAddresses: [] };
    await session.setupInterface(nic, calls());
    await session.addRoutes([{ destination: 'default', gateway: '10.77.0.1', mac: MAC }], calls());
    expect((await sh('ip -4 addr show net0; ip route')).stdout)
      .to.include('inet 10.77.0.10/24')
      .and.include('default via 10.77.0.1 dev net0');
  });

  it('stops with DESTROYPOD', async () => {
    await session.destroyPod(calls());
    await program.exited;
    await session.closed;
  });
});

/** The channel, but for the payload of GETVERSION: so the agent takes the client for one that knows no extension. */
function withoutHello(channel: Duplex): Duplex {
  let first = true;
  const outer = new Duplex({
    read: () => channel.resume(),
    write(chunk: Buffer, _encoding, done) {
      const bytes = first ? Buffer.from('0000000000000008', 'hex') : chunk;
      first = false;
      channel.write(bytes, done);
    },
    final: (done) => void channel.end(done),
    destroy(error, done) {
      channel.destroy();
      done(error);
    },
  });
  channel.on('data', (chunk: Buffer) => outer.push(chunk) || channel.pause());
  channel.on('end', () => outer.push(null));
  channel.on('error', (error) => outer.destroy(error));
  return outer;
}
