import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { onEachDriver } from '../support/drivers.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { finish, processesNaming, Sandbox } from '../support/sandbox.js';

onEachDriver('hyperplug run', function (driver) {
  this.timeout(600_000);
  let sandbox: Sandbox;

  before(async () => {
    sandbox = await Sandbox.make({ hypervisor: { driver: driver.name } });
    // What is made once for all is made here, and told there.
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
  });
  afterEach(async () => {
    expect(await sandbox.leftovers()).to.deep.equal([]);
  });
  after(() => sandbox.dispose());

  it("boots a Linux of its own and gives the command's output", async () => {
    const { code, stdout, stderr } = await sandbox.run(['run', '--', 'uname', '-a']);
    expect(code, stderr).to.equal(0);
    expect(stdout.toString()).to.match(/^Linux pod-[0-9a-f]{10} \d+\.\d+\S* .*Linux\n$/);
    expect(stderr).to.equal('');
  });

  it('keeps the two streams apart and returns the exit code', async () => {
    const result = await sandbox.run(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect({ ...result, stdout: result.stdout.toString() }).to.deep.include({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('takes environment, working directory, memory and CPUs', async () => {
    const script = 'echo "$GREETING from $PWD"; nproc; grep MemTotal /proc/meminfo';
    const args = [
      'run',
      '--env',
      'GREETING=hello, world',
      '--workdir',
      '/tmp',
      '--memory',
      '192',
      '--cpus',
      `${driver.cpus}`,
      '--',
    ];
    const { code, stdout, stderr } = await sandbox.run([...args, 'sh', '-c', script]);
    expect(code, stderr).to.equal(0);
    const [greeting, cpus, memory] = stdout.toString().trim().split('\n');
    expect(greeting).to.equal('hello, world from /tmp');
    expect(cpus).to.equal(`${driver.cpus}`);
    const kib = Number(/\d+/.exec(memory ?? '')?.[0]);
    expect(kib).to.be.within(128 * 1024, 192 * 1024);
  });

  it('reports a command that does not exist with 127', async () => {
    const { code, stderr } = await sandbox.run(['run', '--', 'no-such-program']);
    expect(code).to.equal(127);
    expect(stderr).to.include('AGENT_EXEC_FAILED').and.include('no-such-program');
  });

  it(`carries ${driver.bulkMib} MB in and back unchanged`, async () => {
    const block = randomBytes(1024 * 1024);
    const input = Buffer.concat(Array.from({ length: driver.bulkMib }, () => block));
    const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    const { code, stdout, stderr } = await sandbox.run(['run', '-i', '--', 'cat'], { input, timeoutMs: 300_000 });
    expect(code, stderr.slice(-300)).to.equal(0);
    expect(stdout.length).to.equal(input.length);
    expect(digest(stdout)).to.equal(digest(input));
  });

  it('gives the guest an address, a gateway, a name and name servers', async () => {
    const script =
      'hostname; ip -4 -o addr show dev eth0; ip route; cat /etc/resolv.conf; cat /sys/class/net/eth0/address';
    const { code, stdout, stderr } = await sandbox.run(['run', '--name', 'named', '--', 'sh', '-c', script]);
    expect(code, stderr).to.equal(0);
    const text = stdout.toString();
    expect(text).to.match(/^named\n/);
    expect(text).to.match(/inet 192\.168\.123\.15\/24/);
    expect(text).to.match(/default via 192\.168\.123\.2 dev eth0/);
    expect(text).to.match(/nameserver 192\.168\.123\.3/);
    expect(text).to.match(/\n[0-9a-f][26ae](:[0-9a-f]{2}){5}\n$/);
  });

  it("reaches a server on the host's loopback from the guest", async () => {
    const server = createServer((socket) => socket.end('from the host\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    try {
      const { code, stdout, stderr } = await sandbox.run([
        'run',
        '--',
        'sh',
        '-c',
        `nc -w 20 192.168.123.2 ${port} </dev/null`,
      ]);
      expect(code, stderr).to.equal(0);
      expect(stdout.toString()).to.equal('from the host\n');
    } finally {
      server.close();
    }
  });

  it('publishes a port of the guest, and refuses one that is in use', async () => {
    const port = await freePort();
    const script = 'echo "hello from $(hostname)" >/tmp/index.html; httpd -f -p 80 -h /tmp';
    const child = sandbox.start(['run', '--name', 'web', '-p', `127.0.0.1:${port}:80`, '--', 'sh', '-c', script]);
    const finished = finish(child, { timeoutMs: 200_000 });
    const answer = await eventually(
      async () => (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) })).text(),
      120_000,
    );
    expect(answer).to.equal('hello from web\n');
    const second = await sandbox.run(['run', '-p', `127.0.0.1:${port}:80`, '--', 'true']);
    expect(second.code).to.equal(125);
    expect(second.stderr).to.include('NET_PORT_IN_USE').and.include(String(port));
    child.kill('SIGTERM');
    expect((await finished).code).to.equal(143);
  });

  it('passes Ctrl-C to the command and returns its exit code', async () => {
    const child = sandbox.start([
      'run',
      '--',
      'sh',
      '-c',
      'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep 1; done',
    ]);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      if (!output.includes('ready') && `${output}${chunk}`.includes('ready')) child.kill('SIGINT');
      output += chunk;
    });
    const { code } = await finish(child);
    expect(output).to.equal('ready\ninterrupted\n');
    expect(code).to.equal(9);
  });

  it('ends a command that takes longer than its time, and leaves nothing', async () => {
    const { code, stderr } = await sandbox.run(['run', '--timeout', '2s', '--', 'sleep', '1000']);
    expect(code).to.equal(124);
    expect(stderr).to.include('TIMEOUT');
  });

  it('takes the VM along when it is killed, and the next run clears what is left', async () => {
    const child = sandbox.start(['run', '--name', 'doomed', '--', 'sh', '-c', 'echo up; sleep 1000']);
    const finished = finish(child);
    await once(child.stdout as NodeJS.EventEmitter, 'data');
    child.kill('SIGKILL');
    expect((await finished).signal).to.equal('SIGKILL');
    await eventually(async () => {
      expect(processesNaming(sandbox.root)).to.deep.equal([]);
    }, 20_000);
    expect((await sandbox.run(['run', '--', 'true'])).code).to.equal(0);
  });

  it('undoes everything when it is interrupted while the guest boots', async () => {
    const child = sandbox.start(['run', '--', 'true']);
    await eventually(async () => {
      expect(processesNaming(sandbox.root).some(({ command }) => command.includes(driver.program))).to.equal(true);
    }, 60_000);
    child.kill('SIGINT');
    const { code } = await finish(child);
    expect(code).to.equal(130);
  });
});
