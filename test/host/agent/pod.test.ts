import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMAND, LIMIT } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { HostAgent, json, type RawAgent } from '../../support/raw-agent.js';
import { canRunAgent } from './support.js';

describe('guest agent, extension: pod and files', function () {
  this.timeout(60_000);
  let host: HostAgent;
  let agent: RawAgent;

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

  const etc = (name: string) => readFileSync(join(host.root, 'etc', name), 'utf8');
  const write = (file: string, content: Uint8Array, more: object = {}) =>
    agent.call(COMMAND.WRITEFILE, Buffer.concat([json({ container: 'hyperstart', file, ...more }), content]));

  it('sets host name, hosts and resolver, and again: the last one holds', async () => {
    await agent.ack(COMMAND.STARTPOD, { hostname: 'first', dns: ['192.0.2.1'] });
    await agent.ack(COMMAND.STARTPOD, {
      hostname: 'pod1',
      dns: ['10.0.2.3', 'fd00::3'],
      dnsSearch: ['example.org', 'example.net'],
      dnsOptions: ['ndots:2'],
    });
    expect(host.inside('nsenter', '--target', String(host.pid), '--uts', 'hostname')).to.equal('pod1\n');
    expect(etc('hostname')).to.equal('pod1\n');
    expect(etc('hosts')).to.match(/^127\.0\.0\.1\tlocalhost\n::1\t.*\n127\.0\.1\.1\tpod1\n$/);
    expect(etc('resolv.conf')).to.equal(
      'nameserver 10.0.2.3\nnameserver fd00::3\nsearch example.org example.net\noptions ndots:2\n',
    );
  });

  it('replaces a link that leads nowhere', async () => {
    mkdirSync(join(host.root, 'etc'));
    symlinkSync('../run/none/resolv.conf', join(host.root, 'etc/resolv.conf'));
    await agent.ack(COMMAND.STARTPOD, { hostname: 'h', dns: ['192.0.2.1'] });
    expect(etc('resolv.conf')).to.equal('nameserver 192.0.2.1\n');
  });

  it('refuses what would break those files', async () => {
    for (const [request, field] of [
      [{ hostname: 'a\nb' }, 'hostname'],
      [{ hostname: 'x'.repeat(65) }, 'hostname'],
      [{ dns: ['10.0.0.1\nnameserver 6.6.6.6'] }, 'dns'],
      [{ dns: ['resolver.example'] }, 'dns'],
      [{ dnsSearch: ['a b'] }, 'dnsSearch'],
    ] as const) {
      expect(await agent.refusal(COMMAND.STARTPOD, request)).to.include({ code: 'INVALID', field });
    }
    expect(existsSync(join(host.root, 'etc/resolv.conf'))).to.equal(false);
  });

  it('writes a file in one step and reads it back, 16 MiB and any bytes', async () => {
    const file = join(host.folder, 'file');
    const content = Buffer.alloc(LIMIT.FILE_MAX_BYTES, Buffer.from([0, 1, 2, 255, 10, 123, 125]));
    expect((await write(file, content, { mode: 0o640 })).code).to.equal(COMMAND.ACK);
    expect(statSync(file).mode & 0o7777).to.equal(0o640);
    expect(readFileSync(file).equals(content)).to.equal(true);
    const read = await agent.call(COMMAND.READFILE, json({ container: 'hyperstart', file }));
    expect(read.payload.equals(content)).to.equal(true);
    expect(readdirSync(host.folder).filter((name) => name.startsWith('file'))).to.deep.equal(['file']);
  });

  it('keeps the mode of a file and the links to it', async () => {
    const file = join(host.folder, 'real');
    writeFileSync(file, 'old', { mode: 0o600 });
    symlinkSync(file, join(host.folder, 'link'));
    await write(join(host.folder, 'link'), Buffer.from('new'));
    expect(readFileSync(file, 'utf8')).to.equal('new');
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it('writes to files that cannot be replaced', async () => {
    expect((await write('/proc/self/comm', Buffer.from('renamed'))).code).to.equal(COMMAND.ACK);
    expect(readFileSync(`/proc/${host.pid}/comm`, 'utf8')).to.equal('renamed\n');
  });

  it('says why a file cannot be read or written', async () => {
    const read = (file: string) => agent.refusal(COMMAND.READFILE, { container: 'hyperstart', file });
    expect(await read('/nope')).to.include({ code: 'NOT_FOUND', errno: 2, field: 'file' });
    expect(await read('/etc')).to.include({ code: 'KERNEL', errno: 21 });
    expect(await read('/dev/zero')).to.include({ code: 'LIMIT' });
    expect(await read('relative')).to.include({ code: 'INVALID' });
    const refused = await write('/no/such/dir/file', Buffer.from('x'));
    expect(JSON.parse(refused.payload.toString())).to.include({ code: 'NOT_FOUND', errno: 2 });
    const other = await agent.refusal(COMMAND.READFILE, { container: 'c9', file: '/x' });
    expect(other).to.include({ code: 'NOT_FOUND', field: 'container' });
  });

  it('brings CPUs and memory online that are not', async () => {
    const cpu = join(host.root, 'sys/devices/system/cpu');
    const memory = join(host.root, 'sys/devices/system/memory');
    for (const [folder, file, value] of [
      [join(cpu, 'cpu1'), 'online', '0\n'],
      [join(cpu, 'cpu2'), 'online', '1\n'],
      [join(cpu, 'cpuidle'), 'online', '0\n'],
      [join(memory, 'memory7'), 'state', 'offline\n'],
    ] as const) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, file), value);
    }
    mkdirSync(join(cpu, 'cpu0'));
    await agent.ack(COMMAND.ONLINECPUMEM);
    expect(readFileSync(join(cpu, 'cpu1/online'), 'utf8')).to.equal('1');
    expect(readFileSync(join(cpu, 'cpuidle/online'), 'utf8')).to.equal('0\n');
    expect(readFileSync(join(memory, 'memory7/state'), 'utf8')).to.equal('online');
  });

  it('acknowledges DESTROYPOD, ends the processes, and then itself', async () => {
    await agent.ack(COMMAND.EXECCMD, {
      container: 'hyperstart',
      process: { id: 'p', args: ['sleep', '1000'], stdio: 1, stderr: 2 },
    });
    const [pid] = readFileSync(`/proc/${host.pid}/task/${host.pid}/children`, 'utf8').trim().split(' ');
    expect(Number(pid)).to.be.greaterThan(1);
    await agent.ack(COMMAND.DESTROYPOD);
    await agent.control.take(1).catch(() => undefined);
    for (let i = 0; i < 100 && host.running; i++) await new Promise((resolve) => setTimeout(resolve, 50));
    expect(host.running).to.equal(false);
    expect(existsSync(`/proc/${pid}`)).to.equal(false);
  });
});
