import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { hasCode } from '../../src/core/errors.js';
import { sendWithFds } from '../../src/host/send-fds.js';

const receiver = fileURLToPath(new URL('../support/receive-fds.js', import.meta.url));
const call = () => ({ signal: AbortSignal.timeout(30_000) });

describe('descriptors over a unix socket', function () {
  this.timeout(60_000);
  let directory: string;
  let server: Server;
  let ours: Socket;
  let theirs: Socket;
  const children: ChildProcess[] = [];
  const open: number[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hp-fds-'));
    server = createServer({ pauseOnConnect: true }).listen(join(directory, 'socket'));
    await once(server, 'listening');
    ours = connect(join(directory, 'socket'));
    ours.on('error', () => {});
    [theirs] = (await once(server, 'connection')) as [Socket];
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    for (const fd of open.splice(0)) closeSync(fd);
    ours.destroy();
    theirs.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  const file = (content: string) => {
    const path = join(directory, `file-${open.length}`);
    writeFileSync(path, content);
    const fd = openSync(path, 'r');
    open.push(fd);
    return fd;
  };
  /** Another process at the other end; resolves with the lines it wrote. */
  async function received(): Promise<Record<string, unknown>[]> {
    const child = spawn(process.execPath, [receiver], { stdio: ['ignore', 'pipe', 'inherit', theirs] });
    children.push(child);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk;
    });
    const [code] = await once(child, 'close');
    expect(code).to.equal(0);
    return output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  }

  it('another process reads from them, after ours are closed', async () => {
    const fds = [file('first'), file('second')];
    await sendWithFds(ours, Buffer.from('take these'), fds, ' ', call());
    for (const fd of open.splice(0)) closeSync(fd);
    expect(await received()).to.deep.equal([{ text: 'take these', contents: ['first', 'second'] }]);
  });

  it('waits its turn: what was written before is read before', async () => {
    const before = 'x'.repeat(2 << 20);
    ours.write(before);
    const sending = sendWithFds(ours, Buffer.from('take this'), [file('late')], ' ', call());
    const lines = await received();
    await sending;
    const last = lines.at(-1) as { text: string; contents: string[] };
    expect(last.contents).to.deep.equal(['late']);
    expect(last.text.endsWith('take this')).to.equal(true);
    const xs = lines.slice(0, -1).reduce((sum, { before: count }) => sum + Number(count), 0);
    expect(xs + last.text.length).to.be.greaterThanOrEqual(before.length + 'take this'.length);
  });

  it('sends nothing when it is aborted while the peer reads nothing', async () => {
    ours.write('x'.repeat(2 << 20));
    const signal = AbortSignal.timeout(200);
    const error = await sendWithFds(ours, Buffer.from('never'), [file('never')], ' ', { signal }).catch((e) => e);
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
    ours.end();
    const lines = await received();
    expect(JSON.stringify(lines)).to.not.include('never');
  });

  it('says why the kernel refused', async () => {
    const closed = openSync('/dev/null', 'r');
    closeSync(closed);
    const before = readdirSync('/proc/self/fd').length;
    const error = await sendWithFds(ours, Buffer.from('x'), [closed], ' ', call()).catch((e) => e);
    expect(hasCode(error, 'HOST_COMMAND_FAILED')).to.equal(true);
    expect(error.details.name).to.equal('EBADF');
    expect(readdirSync('/proc/self/fd')).to.have.length(before);
  });

  it('tells a peer that is gone', async () => {
    theirs.destroy();
    await once(theirs, 'close');
    const error = await sendWithFds(ours, Buffer.from('x'), [file('x')], ' ', call()).catch((e) => e);
    expect(hasCode(error, 'HOST_COMMAND_FAILED')).to.equal(true);
  });
});
