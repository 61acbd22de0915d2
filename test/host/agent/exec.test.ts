import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMAND, LIMIT } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { buildPlainAgent, execPayload, HostAgent, json, type RawAgent } from '../../support/raw-agent.js';
import { canRunAgent } from './support.js';

const MIB = 1024 * 1024;

describe('guest agent, extension: processes', function () {
  this.timeout(120_000);
  let host: HostAgent;
  let agent: RawAgent;
  let sequence = 0;

  before(function () {
    canRunAgent(this);
  });
  beforeEach(async () => {
    host = new HostAgent();
    await host.start();
    agent = await host.connect();
    await agent.hello();
  });
  afterEach(() => host.stop());

  async function start(id: string, args: string[], more: object = {}): Promise<{ out: number; err: number }> {
    sequence += 2;
    const pair = { out: sequence - 1, err: sequence };
    const process = { id, args, stdio: pair.out, stderr: pair.err, workdir: '/', ...more };
    const { pid } = await agent.ack(COMMAND.EXECCMD, { container: 'hyperstart', process });
    expect(pid).to.be.greaterThan(1);
    return pair;
  }

  async function run(args: string[], more: object = {}): Promise<{ out: string; err: string; status: number }> {
    const id = `run${sequence}`;
    const pair = await start(id, args, more);
    const out = (await agent.output(pair.out)).toString();
    const err = (await agent.output(pair.err)).toString();
    return { out, err, status: (await agent.exit(id)).status };
  }

  it('keeps both outputs apart, ends both, tells the status', async () => {
    expect(await run(['sh', '-c', 'echo out; echo err >&2; exit 7'])).to.deep.equal({
      out: 'out\n',
      err: 'err\n',
      status: 7,
    });
  });

  it('sets environment, directory and the usual variables', async () => {
    const envs = [
      { env: 'A', value: 'b=c' },
      { env: 'PATH', value: '/usr/bin:/bin' },
    ];
    const { out } = await run(['sh', '-c', 'pwd; echo "$A|$PATH|$HOME|$TERM"'], { workdir: '/usr', envs });
    expect(out).to.equal('/usr\nb=c|/usr/bin:/bin|/root|\n');
  });

  it('runs as a user, by name and number, with groups and limits', async () => {
    const nobody = await run(['sh', '-c', 'id -u; id -g; id -G; ulimit -n'], {
      user: 'daemon',
      additionalGroups: ['audio', '4242'],
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 77, hard: 99 }],
    });
    expect(nobody.out).to.equal('1\n1\n1 29 4242\n77\n');
    expect((await run(['sh', '-c', 'id -u; id -g'], { user: '12345', group: '54321' })).out).to.equal('12345\n54321\n');
  });

  it('finds a program by PATH as execvp(3) does: past what is not there and what it may not start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hyperplug-path-'));
    try {
      for (const [name, mode] of [
        ['closed', 0o644],
        ['open', 0o755],
      ] as const) {
        mkdirSync(join(folder, name));
        writeFileSync(join(folder, name, 'hello'), `#!/bin/sh\necho ${name} "$0"\n`, { mode });
      }
      const path = (...names: string[]) => ({
        envs: [{ env: 'PATH', value: names.map((name) => join(folder, name)).join(':') }],
      });
      const found = await run(['hello'], path('none', 'closed', 'closed/hello', 'open'));
      expect(found).to.deep.include({ out: `open ${join(folder, 'open/hello')}\n`, status: 0 });
      const refuse = async (names: string[]) =>
        (await agent.refusal(COMMAND.EXECCMD, execPayload('bad', ['hello'], 901, 902, path(...names)))).errno;
      expect(await refuse(['none', 'closed', 'none'])).to.equal(constants.errno.EACCES);
      expect(await refuse(['none'])).to.equal(constants.errno.ENOENT);
      const here = { workdir: join(folder, 'open'), envs: [{ env: 'PATH', value: '/none:' }] };
      expect((await run(['hello'], here)).out).to.equal('open hello\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('says why a program cannot start, and forgets it', async () => {
    const refuse = (args: string[], more: object = {}) =>
      agent.refusal(COMMAND.EXECCMD, execPayload('bad', args, 901, 902, more));
    expect(await refuse(['/nope'])).to.deep.include({ code: 'EXEC', errno: 2 });
    expect((await refuse(['/nope'])).reason).to.equal('cannot start /nope: No such file or directory');
    expect((await refuse(['/etc/passwd'])).errno).to.equal(13);
    expect((await refuse(['true'], { workdir: '/none' })).reason).to.contain('/none');
    expect((await refuse(['true'], { user: 'no-such-user' })).reason).to.contain('no-such-user');
    expect(await refuse([])).to.deep.include({ code: 'INVALID', field: 'args' });
    const unknown = await refuse(['true'], { bogus: 1 });
    expect(unknown).to.deep.include({ code: 'INVALID', field: 'bogus' });
    expect((await run(['echo', 'still here'])).out).to.equal('still here\n');
  });

  it('refuses sequences and ids in use', async () => {
    const pair = await start('cat', ['cat']);
    const clash = await agent.refusal(COMMAND.EXECCMD, execPayload('other', ['true'], pair.err, 9999));
    expect(clash).to.deep.include({ code: 'INVALID', field: 'stdio' });
    const twice = await agent.refusal(COMMAND.EXECCMD, execPayload('cat', ['true'], 9998, 9999));
    expect(twice).to.deep.include({ code: 'INVALID', field: 'id' });
  });

  it('takes a fast stream past a slow one: 20 MiB each', async () => {
    const bytes = 20 * MIB;
    const command = ['sh', '-c', `head -c ${bytes} /dev/zero | tr '\\0' x`];
    const slow = await start('slow', command);
    const fast = await start('fast', command);
    const hash = createHash('sha256');
    const seen = { slow: 0, fast: 0 };
    // Nothing is credited to the slow one: it stops at its first credit, and the fast one must come whole.
    for (let fastEnded = false; !fastEnded; ) {
      const { sequence: from, payload } = await agent.stream();
      if (from === slow.out) seen.slow += payload.length;
      if (from !== fast.out) continue;
      fastEnded = payload.length === 0;
      hash.update(payload);
      seen.fast += payload.length;
      if (!fastEnded) agent.credit(fast.out, payload.length);
    }
    expect(seen).to.deep.equal({ slow: LIMIT.INITIAL_CREDIT_BYTES, fast: bytes });
    expect(hash.digest('hex')).to.equal(createHash('sha256').update(Buffer.alloc(bytes, 'x')).digest('hex'));
    agent.credit(slow.out, LIMIT.INITIAL_CREDIT_BYTES);
    expect(await agent.output(slow.out)).to.have.length(bytes - LIMIT.INITIAL_CREDIT_BYTES);
  });

  it('gives credit for input as the process reads it, and carries 8 MiB through unchanged', async () => {
    const pair = await start('sum', ['sha256sum']);
    const data = Buffer.alloc(8 * MIB, 'abcdefg');
    let credit = LIMIT.INITIAL_CREDIT_BYTES;
    for (let at = 0; at < data.length; ) {
      while (credit < LIMIT.STREAM_PAYLOAD_MAX_BYTES) {
        const message = await agent.next();
        if (message.code !== COMMAND.CREDIT) continue;
        expect(Number(message.payload.readBigUInt64BE(0))).to.equal(pair.out);
        credit += message.payload.readUInt32BE(8);
      }
      expect(credit).to.be.at.most(LIMIT.INITIAL_CREDIT_BYTES);
      agent.input(pair.out, data.subarray(at, at + LIMIT.STREAM_PAYLOAD_MAX_BYTES));
      at += LIMIT.STREAM_PAYLOAD_MAX_BYTES;
      credit -= LIMIT.STREAM_PAYLOAD_MAX_BYTES;
    }
    agent.input(pair.out);
    expect((await agent.output(pair.out)).toString()).to.equal(
      `${createHash('sha256').update(data).digest('hex')}  -\n`,
    );
  });

  it('holds up only the process that does not read its input', async () => {
    const idle = await start('idle', ['sleep', '1000']);
    for (let sent = 0; sent < LIMIT.INITIAL_CREDIT_BYTES; sent += 32768) agent.input(idle.out, Buffer.alloc(32768));
    expect((await run(['echo', 'hi'])).out).to.equal('hi\n');
  });

  it('takes input for a process that no longer reads, and gives the credit back', async () => {
    const pair = await start('deaf', ['sh', '-c', 'exec <&-; sleep 1000']);
    for (let sent = 0; sent < LIMIT.INITIAL_CREDIT_BYTES; sent += 32768) agent.input(pair.out, Buffer.alloc(32768));
    let back = 0;
    while (back < LIMIT.INITIAL_CREDIT_BYTES) {
      const message = await agent.next();
      if (message.code === COMMAND.CREDIT) back += message.payload.readUInt32BE(8);
    }
    expect(back).to.equal(LIMIT.INITIAL_CREDIT_BYTES);
  });

  it('ends the session when the host oversteps its credit, and says so', async () => {
    const pair = await start('idle', ['sleep', '1000']);
    for (let i = 0; i < 12; i++) agent.input(pair.out, Buffer.alloc(32768));
    for (;;) {
      const message = await agent.next();
      if (message.code !== COMMAND.ERROR) continue;
      expect(message.id).to.equal(0);
      expect(message.payload.toString()).to.contain('credit');
      break;
    }
    expect(await agent.hello('fedcba9876543210')).to.deep.include({ nonce: 'fedcba9876543210' });
  });

  it('tells the end at once though a background child holds the outputs, which lives on', async () => {
    const file = `${host.folder}/alive`;
    const script = `(sleep 0.5; head -c 300000 /dev/zero; echo yes > ${file}) & echo started; exit 3`;
    expect(await run(['sh', '-c', script])).to.deep.equal({ out: 'started\n', err: '', status: 3 });
    for (let i = 0; i < 200 && readdirSync(host.folder).includes('alive') === false; i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect(readFileSync(file, 'utf8')).to.equal('yes\n');
  });

  it('sends what is in the pipes before their end, however slowly it is taken', async () => {
    // More than the first credit, so that the rest is still in the pipes when the process has ended.
    const bytes = LIMIT.INITIAL_CREDIT_BYTES + 50_000;
    const pair = await start('burst', ['sh', '-c', `head -c ${bytes} /dev/zero; head -c ${bytes} /dev/zero >&2`]);
    expect((await agent.exit('burst')).status).to.equal(0);
    expect(await agent.output(pair.out)).to.have.length(bytes);
    expect(await agent.output(pair.err)).to.have.length(bytes);
  });

  it('gives a terminal of the asked size, resizes it, passes its end of input on', async () => {
    const shell = await start('tty', ['sh', '-c', 'stty -echo; tty; stty size; read line; stty size; cat'], {
      terminal: true,
      stderr: 0,
      row: 30,
      column: 77,
    });
    const until = async (pattern: RegExp) => {
      let text = '';
      while (!pattern.test(text)) text += (await agent.stream()).payload.toString();
      return text;
    };
    expect(await until(/30 77\r\n/)).to.match(/\/dev\/pts\/\d+\r\n30 77\r\n/);
    await agent.ack(COMMAND.WINSIZE, { container: 'hyperstart', process: 'tty', row: 50, column: 132 });
    agent.input(shell.out, Buffer.from('\n'));
    expect(await until(/50 132/)).to.contain('50 132\r\n');
    agent.input(shell.out, Buffer.from('hello'));
    agent.input(shell.out);
    expect((await agent.output(shell.out)).toString()).to.contain('hello');
    expect((await agent.exit('tty')).status).to.equal(0);
  });

  it('delivers Ctrl-C of a terminal', async () => {
    const shell = await start('tty', ['sh', '-c', 'echo ready; exec sleep 1000'], { terminal: true, stderr: 0 });
    while (!(await agent.stream()).payload.toString().includes('ready'));
    agent.input(shell.out, Buffer.from('\x03'));
    expect(await agent.exit('tty')).to.include({ status: 130, signal: 2 });
  });

  it('ends a terminal whose shell leaves something behind on it', async () => {
    const shell = await start('tty', ['sh', '-c', 'trap "" HUP; setsid sleep 1000 & echo done'], {
      terminal: true,
      stderr: 0,
    });
    expect((await agent.output(shell.out)).toString()).to.contain('done');
  });

  it('signals the whole group of a process', async () => {
    const group = await start('group', ['sh', '-c', 'sleep 1000 & echo $!; wait; true']);
    const child = (await agent.stream()).payload.toString().trim();
    await agent.ack(COMMAND.SIGNALPROCESS, { container: 'hyperstart', process: 'group', signal: 15 });
    expect(await agent.exit('group')).to.include({ status: 143, signal: 15 });
    await agent.output(group.out);
    expect(
      (
        await run([
          'sh',
          '-c',
          `for i in $(seq 100); do kill -0 ${child} 2>/dev/null || { echo gone; break; }; sleep 0.05; done`,
        ])
      ).out,
    ).to.equal('gone\n');
    const gone = await agent.refusal(COMMAND.SIGNALPROCESS, { container: 'hyperstart', process: 'group', signal: 15 });
    expect(gone.code).to.equal('NOT_FOUND');
    const wrong = await agent.refusal(COMMAND.SIGNALPROCESS, { container: 'hyperstart', process: 'group', signal: 65 });
    expect(wrong).to.include({ code: 'INVALID', field: 'signal' });
  });

  it('lets processes run on when a session ends, without their events and output', async () => {
    await start('old', ['sh', '-c', 'while true; do echo noise; sleep 0.05; done']);
    agent.close();
    agent = await host.connect();
    await agent.hello('1111111111111111');
    expect(await run(['echo', 'new'])).to.deep.include({ out: 'new\n' });
    await agent.ack(COMMAND.SIGNALPROCESS, { container: 'hyperstart', process: 'old', signal: 9 });
    expect(await run(['echo', 'newer'])).to.deep.include({ out: 'newer\n' });
    expect(agent.events).to.have.length(0);
  });

  it('reports bytes read, within the window', async () => {
    await agent.hello('2222222222222222', 1024);
    const pair = await start('cat', ['cat']);
    let unread = 0;
    for (let i = 0; i < 40; i++) {
      agent.input(pair.out, Buffer.alloc(100));
      unread += 112;
      while (unread > 1024 - 112) {
        const message = await agent.next();
        if (message.code !== COMMAND.NEXT || message.payload.readUInt32BE(0) !== 1) continue;
        unread -= message.payload.readUInt32BE(4);
      }
    }
    expect(unread).to.be.at.least(0);
  });

  it('leaves no zombie and no descriptor after 200 commands', async () => {
    const descriptors = () => readdirSync(`/proc/${host.pid}/fd`).length;
    await run(['true']);
    const before = descriptors();
    for (let i = 0; i < 200; i++) await run(['sh', '-c', 'true &']);
    for (let i = 0; i < 100 && descriptors() > before; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(descriptors()).to.be.at.most(before);
    const children = () => readFileSync(`/proc/${host.pid}/task/${host.pid}/children`, 'utf8');
    for (let i = 0; i < 100 && children() !== ''; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(children()).to.equal('');
  });

  it('answers PING with its payload, and an unknown command with its code', async () => {
    expect((await agent.call(COMMAND.PING, Buffer.from('any bytes'))).payload.toString()).to.equal('any bytes');
    expect((await agent.refusal(77, json({}))).code).to.equal('UNKNOWN_COMMAND');
  });
});

describe('guest agent, processes that start in its memory', function () {
  this.timeout(120_000);
  const user = '54321';

  before(function () {
    canRunAgent(this);
  });

  it('is not held up by a user who stops what starts as that user', async () => {
    const host = new HostAgent();
    try {
      await host.start(buildPlainAgent(host.folder));
      const agent = await host.connect();
      await agent.hello();
      const start = (id: string, args: string[], at: number) =>
        agent.send(COMMAND.EXECCMD, execPayload(id, args, at, at + 1, { user }));
      const stopper = await agent.answer(start('stopper', ['sh', '-c', 'while :; do kill -s STOP -- -1; done'], 1));
      expect(stopper.code).to.equal(COMMAND.ACK);
      for (let i = 0; i < 40; i++) start(`victim${i}`, ['true'], 3 + 2 * i);
      expect((await agent.call(COMMAND.PING, Buffer.from('alive'))).payload.toString()).to.equal('alive');
      await agent.call(COMMAND.EXECCMD, execPayload('end', ['kill', '-KILL', '-1'], 101, 102));
      await agent.exit('end');
    } finally {
      await host.stop();
    }
  });
});
