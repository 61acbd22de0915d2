import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { PodDetails, PodEvent } from '../../src/index.js';
import { eventually } from '../support/eventually.js';
import { Sandbox } from '../support/sandbox.js';

describe('hyperplug pod, from a file to its end', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  before(async () => {
    sandbox = await Sandbox.make();
    writeFileSync(
      join(sandbox.root, 'pod.yaml'),
      'id: web\nnetwork: none\nresource: { memory: 128 }\nlabels: { tier: web }\n',
    );
  });
  after(async () => {
    await sandbox.run(['rm', '--force', 'web']);
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await sandbox.run(args);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout.toString();
  };
  const inspect = async () => (JSON.parse(await ok('pod', 'inspect', 'web')) as PodDetails[])[0];

  it('is made, started, looked at, copied to, paused, stopped and removed, and its events tell so', async () => {
    const file = join(sandbox.root, 'pod.yaml');
    expect(await ok('pod', 'create', '-f', file)).to.equal('web\n');
    expect((await inspect())?.state).to.equal('created');
    expect(await ok('pod', 'start', '-f', file)).to.equal('web\n');
    expect(await ok('ps', '--label', 'tier=web')).to.contain('running');
    expect(await ok('exec', 'web', 'ls', '/sys/class/net')).to.equal('lo\n');

    await ok('cp', file, 'web:/tmp/');
    await ok('cp', 'web:/tmp/pod.yaml', join(sandbox.root, 'back'));
    expect(readFileSync(join(sandbox.root, 'back'), 'utf8')).to.equal(readFileSync(file, 'utf8'));
    const reading = JSON.parse(await ok('stats', '--json', '--interval', '200ms')) as { pod: string; rates: object };
    expect(reading.pod).to.equal('web');
    expect((await ok('logs', '--tail', '3', 'web')).split('\n').length).to.be.at.most(4);

    await ok('pod', 'pause', 'web');
    expect((await inspect())?.state).to.equal('paused');
    await ok('pod', 'resume', 'web');
    expect((await sandbox.run(['pod', 'rm', 'web'])).stderr).to.contain('POD_BUSY');
    await ok('pod', 'stop', '--time', '0', 'web');
    expect(await ok('pod', 'wait', 'web')).to.match(/^web exited/);
    await ok('pod', 'rm', '-f', file);
    const events = (await ok('events', '--json', 'web'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as PodEvent).type);
    expect(events).to.deep.equal(['created', 'started', 'paused', 'resumed', 'exited', 'removed']);
  });

  it('events -f goes on, though nothing else keeps its process, and tells what another does', async () => {
    const follower = sandbox.start(['--no-daemon', 'events', '--follow', 'later']);
    let out = '';
    follower.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    // What is said before it listens it does not tell: made anew until it has told once.
    await eventually(async () => {
      expect(follower.exitCode, 'it has ended').to.equal(null);
      await sandbox.run(['pod', 'create', '-f', '-'], { input: 'id: later\nnetwork: none\n' });
      await sandbox.run(['rm', 'later']);
      expect(out).to.match(/later created/);
    }, 60_000);
    follower.kill('SIGTERM');
    await once(follower, 'exit');
  });
});
