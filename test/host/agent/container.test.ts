import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMAND } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { HostAgent, json, type RawAgent } from '../../support/raw-agent.js';
import { requireOrSkip } from '../../support/require.js';
import { canRunAgent } from './support.js';

describe('guest agent: containers', function () {
  this.timeout(60_000);
  let host: HostAgent;
  let agent: RawAgent;
  let image: string;

  before(function () {
    canRunAgent(this);
    requireOrSkip(this, existsSync('/bin/busybox'), 'a static busybox is not installed');
  });
  beforeEach(async () => {
    host = new HostAgent();
    await host.start();
    agent = await host.connect();
    await agent.hello();
    image = join(host.folder, 'image');
    mkdirSync(join(image, 'bin'), { recursive: true });
    mkdirSync(join(image, 'etc'));
    copyFileSync('/bin/busybox', join(image, 'bin/busybox'));
    for (const name of ['sh', 'cat', 'ps', 'id', 'hostname', 'sleep', 'ls', 'touch']) {
      symlinkSync('busybox', join(image, 'bin', name));
    }
    writeFileSync(join(image, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\ninside:x:77:78::/home/inside:/bin/sh\n');
  });
  afterEach(() => host.stop());

  const process = (id: string, script: string, stdio: number, more: object = {}) => ({
    id,
    args: ['sh', '-c', script],
    stdio,
    stderr: stdio + 1,
    workdir: '/',
    ...more,
  });
  const create = (more: object = {}) => agent.ack(COMMAND.NEWCONTAINER, { id: 'c1', image, ...more });
  const run = async (id: string, script: string, stdio: number, more: object = {}) => {
    await agent.ack(COMMAND.EXECCMD, { container: 'c1', process: process(id, script, stdio, more) });
    return (await agent.output(stdio)).toString();
  };

  it('runs processes in a root and namespaces of their own', async () => {
    await create({ process: process('main', 'echo main; ls /; ps -o pid,args | cat; sleep 1000', 1) });
    const seen = (await agent.stream()).payload.toString();
    expect(seen).to.match(/^main\n/);
    const second = await run('second', 'ps -o args; id -u; echo $HOME; echo $$', 11, { user: 'inside' });
    expect(second).to.contain('sleep 1000').and.to.contain('77\n/home/inside\n');
    expect(second).not.to.contain('mocha');
    expect(await run('dev', 'echo x > /dev/null; head -c 3 /dev/zero | cat -v; ls /proc/self/fd', 21)).not.to.equal('');
    expect(existsSync(join(image, 'dev/null')), 'mounts are seen inside alone').to.equal(false);
  });

  it('a terminal is one of its own, found by name', async () => {
    await create({ process: process('main', 'sleep 1000', 1) });
    const seen = await run('term', 'busybox tty; test -c "$(busybox tty)" && echo there', 41, {
      terminal: true,
      stderr: 0,
    });
    expect(seen).to.equal('/dev/pts/0\r\nthere\r\n');
  });

  it('reads and writes files inside, whatever links lead out', async () => {
    await create();
    writeFileSync(join(image, 'etc/target'), 'old');
    symlinkSync('/etc/target', join(image, 'link'));
    const write = await agent.call(
      COMMAND.WRITEFILE,
      Buffer.concat([json({ container: 'c1', file: '/link' }), Buffer.from('within')]),
    );
    expect(write.code).to.equal(COMMAND.ACK);
    expect(readFileSync(join(image, 'etc/target'), 'utf8')).to.equal('within');
    expect(existsSync('/etc/target')).to.equal(false);
    const read = await agent.call(COMMAND.READFILE, json({ container: 'c1', file: '/etc/target' }));
    expect(read.payload.toString()).to.equal('within');
    const none = await agent.refusal(COMMAND.READFILE, { container: 'c1', file: '/nope' });
    expect(none).to.include({ code: 'NOT_FOUND', errno: 2 });
  });

  it('maps directories, read-only where asked, and makes the root read-only', async () => {
    mkdirSync(join(host.folder, 'shared'));
    writeFileSync(join(host.folder, 'shared/f'), 'shared');
    await create({ readOnly: true, fsmap: [{ source: join(host.folder, 'shared'), path: 'mnt/s', readOnly: true }] });
    expect(await run('a', 'cat /mnt/s/f; touch /mnt/s/x; touch /x; echo $?', 1)).to.equal('shared1\n');
    expect(existsSync(join(image, 'x'))).to.equal(false);
    expect(existsSync(join(host.folder, 'shared/x'))).to.equal(false);
  });

  it('tells the end of its process, kills and removes', async () => {
    await create({ process: process('main', 'sleep 1000', 1) });
    await agent.ack(COMMAND.KILLCONTAINER, { container: 'c1', signal: 15 });
    expect(await agent.exit('main')).to.include({ container: 'c1', status: 143 });
    await agent.ack(COMMAND.EXECCMD, { container: 'c1', process: process('left', 'sleep 1000', 11) });
    await agent.ack(COMMAND.REMOVECONTAINER, { container: 'c1' });
    expect(await agent.exit('left')).to.include({ signal: 9 });
    const gone = await agent.refusal(COMMAND.REMOVECONTAINER, { container: 'c1' });
    expect(gone).to.include({ code: 'NOT_FOUND', field: 'container' });
    await create();
  });

  it('refuses what it cannot do', async () => {
    const refuse = (more: object) => agent.refusal(COMMAND.NEWCONTAINER, { id: 'c1', image, ...more });
    expect(await refuse({ id: 'hyperstart' })).to.include({ code: 'INVALID', field: 'id' });
    expect(await refuse({ id: '../x' })).to.include({ code: 'INVALID', field: 'id' });
    expect(await refuse({ image: '/nope' })).to.include({ code: 'NOT_FOUND', field: 'image' });
    expect(await refuse({ fstype: 'ext4' })).to.include({ code: 'INVALID', field: 'fstype' });
    const wrong = await refuse({ process: process('main', 'true', 1, { workdir: '/nope' }) });
    expect(wrong.code).to.equal('EXEC');
    await create({ id: 'c2' });
    expect(await refuse({ id: 'c2' })).to.include({ code: 'INVALID', field: 'id' });
  });
});
