import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chownSync, constants, mkdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { onEachDriver } from '../support/drivers.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { requireOrSkip } from '../support/require.js';
import { type Finished, finish, Sandbox } from '../support/sandbox.js';
import { buildUdpEcho, UDP_ASK } from '../support/udp-echo.js';
import { NOBODY, readableProgram } from '../support/unprivileged.js';

onEachDriver('hyperplug as an unprivileged user', function (driver) {
  this.timeout(600_000);
  let sandbox: Sandbox;
  let program: string;

  before(async function () {
    requireOrSkip(this, process.getuid?.() === 0, 'only root can become another user');
    sandbox = await Sandbox.make({ hypervisor: { driver: driver.name } });
    for (const name of ['state', 'run', 'home']) {
      mkdirSync(join(sandbox.root, name), { mode: 0o700 });
      chownSync(join(sandbox.root, name), NOBODY, NOBODY);
    }
    program = readableProgram(sandbox.root);
  });
  afterEach(async () => {
    if (sandbox) expect(await sandbox.leftovers()).to.deep.equal([]);
  });
  after(() => sandbox?.dispose());

  const run = (args: readonly string[]): Promise<Finished> => finish(start(args), { timeoutMs: 400_000 });

  function start(args: readonly string[]) {
    const env = { PATH: process.env.PATH, HOME: join(sandbox.root, 'home'), HYPERPLUG_CONFIG: sandbox.configPath };
    const user = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', '--no-new-privs', '--'];
    return spawn('setpriv', [...user, process.execPath, program, ...args], { env, cwd: '/', stdio: 'pipe' });
  }

  it('builds the image in a cache of its own, boots, and returns streams and exit code', async () => {
    const { code, stdout, stderr } = await run(['run', '--', 'sh', '-c', 'id -u; echo err >&2; exit 7']);
    expect(stdout.toString(), stderr).to.equal('0\n');
    expect(code).to.equal(7);
    expect(stderr).to.match(/err\n$/);
    accessSync(join(sandbox.root, 'home/.cache/hyperplug/images'), constants.F_OK);
    expect(statSync(join(sandbox.root, 'home/.cache/hyperplug')).uid).to.equal(NOBODY);
  });

  it("has a network: a server on the host's loopback answers", async () => {
    const server = createServer((socket) => socket.end('from the host\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      const { stdout, stderr } = await run(['run', '--', 'sh', '-c', `nc -w 20 192.168.123.2 ${port} </dev/null`]);
      expect(stdout.toString(), stderr).to.equal('from the host\n');
    } finally {
      server.close();
    }
  });

  it('publishes a port', async () => {
    const port = await freePort();
    const serve = `echo published >/tmp/index.html; httpd -f -p 80 -h /tmp`;
    const child = start(['run', '-p', `127.0.0.1:${port}:80`, '--', 'sh', '-c', serve]);
    const end = finish(child, { timeoutMs: 400_000 });
    try {
      const text = await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`)).text(), 120_000);
      expect(text).to.equal('published\n');
    } finally {
      child.kill('SIGTERM');
      await end;
    }
  });

  it('publishes a UDP port: a datagram goes in, and its answer comes out', async () => {
    const port = await freePort();
    const serve = 'cat >/tmp/udp-echo; chmod +x /tmp/udp-echo; exec /tmp/udp-echo 53';
    const child = start(['run', '-i', '-p', `127.0.0.1:${port}:53/udp`, '--', 'sh', '-c', serve]);
    child.stdin.end(readFileSync(buildUdpEcho(sandbox.root)));
    const end = finish(child, { timeoutMs: 400_000 });
    try {
      const argv = ['-e', UDP_ASK, '127.0.0.1', String(port), '1400', '120'];
      expect((await execa(process.execPath, argv)).stdout).to.equal('came back');
    } finally {
      child.kill('SIGTERM');
      await end;
    }
  });

  it('tells what it found', async () => {
    const { code, stdout } = await run(['doctor', '--json']);
    expect(code).to.equal(0);
    const findings = JSON.parse(stdout.toString()) as { id: string; status: string; summary: string }[];
    expect(findings.find(({ id }) => id === `${driver.name}.binary`)?.status).to.equal('ok');
    if (driver.name === 'qemu') expect(findings.find(({ id }) => id === 'qemu.kvm')?.summary).to.match(/kvm/i);
    else expect(findings.find(({ id }) => id === 'uml.network')?.status).to.equal('ok');
  });
});
