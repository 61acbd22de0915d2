import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import type { PodEvent } from '../../../../src/core/pod/pods-api.js';
import { FakeHyperplug, type Program, status } from '../../../support/cli/fake-engine.js';
import { cli, FakeIo, until } from '../../../support/cli/fake-io.js';
import { stats } from '../../../support/cli/fake-pods.js';

function engine(...ids: string[]): FakeHyperplug {
  const fake = FakeHyperplug.running((process) => process.exit(0));
  fake.statuses = ids.map((id) => status(id));
  return fake;
}
const named = (hyperplug: FakeHyperplug) => hyperplug.pods.calls.map(([name, what]) => [name, what]);

describe('hyperplug pod', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hyperplug-pod-'));
  });
  after(() => rmSync(directory, { recursive: true }));
  const written = (text: string) => {
    const path = join(directory, 'pods.yaml');
    writeFileSync(path, text);
    return path;
  };
  const TWO = 'id: a\nresource: {memory: 128}\n---\n# the other\nid: b\n';

  it('create makes each pod of a file, or of standard input, in YAML or JSON', async () => {
    const fromFile = engine();
    const { exitCode, out } = await cli(['pod', 'create', '-f', written(TWO)], { hyperplug: fromFile });
    expect([exitCode, out]).to.deep.equal([0, 'a\nb\n']);
    expect(fromFile.pods.calls).to.deep.equal([
      ['create', { id: 'a', resource: { memory: 128 } }],
      ['create', { id: 'b' }],
    ]);
    const io = new FakeIo();
    io.input.end('[{"id": "x"}, {}]');
    const started = engine();
    const { out: ids } = await cli(['pod', 'create', '--start', '--file', '-'], { io, hyperplug: started });
    expect(ids).to.equal('x\npod-0123456789\n');
    expect(named(started).map(([name]) => name)).to.deep.equal(['create', 'start', 'create', 'start']);
  });
  it('create has ./ and ../ of a file from where that file is, of standard input from here', async () => {
    const spec = 'rootfs: ./root.tar\nvolumes: [{ name: a, source: ../src }, { name: b, source: /abs }, { name: c }]\n';
    const fromFile = engine();
    await cli(['pod', 'create', '-f', written(spec)], { hyperplug: fromFile });
    const volumes = [{ name: 'a', source: join(directory, '../src') }, { name: 'b', source: '/abs' }, { name: 'c' }];
    expect(fromFile.pods.calls).to.deep.equal([['create', { rootfs: join(directory, 'root.tar'), volumes }]]);
    const io = new FakeIo();
    io.input.end('{"rootfs": {"ociLayout": "./images/a", "reference": "./b"}}');
    const fromHere = engine();
    await cli(['pod', 'create', '-f', '-'], { io, hyperplug: fromHere });
    const rootfs = { ociLayout: join(process.cwd(), 'images/a'), reference: './b' };
    expect(fromHere.pods.calls).to.deep.equal([['create', { rootfs }]]);
  });
  it('create goes on past a failure, and tells each', async () => {
    const file = written(TWO);
    const { exitCode, out, err } = await cli(['pod', 'create', '-f', file], { hyperplug: engine('a') });
    expect([exitCode, out]).to.deep.equal([125, 'b\n']);
    expect(err).to.match(/^hyperplug: POD_ALREADY_EXISTS/);
    const { out: json } = await cli(['pod', 'create', '--json', '-f', file], { hyperplug: engine('a') });
    const [first, second] = JSON.parse(json) as { id: string; state?: string; error?: { code: string } }[];
    expect([first?.id, first?.error?.code, second?.id, second?.state]).to.deep.equal([
      'a',
      'POD_ALREADY_EXISTS',
      'b',
      'created',
    ]);
  });
  it('says file and line of what is not YAML, and does nothing', async () => {
    const hyperplug = engine();
    const { exitCode, err } = await cli(['pod', 'create', '-f', written('id: a\n---\nid: [b\n')], { hyperplug });
    expect(exitCode).to.equal(125);
    expect(err).to.match(/POD_SPEC_INVALID: .*pods\.yaml:[34]: not YAML/);
    const empty = await cli(['pod', 'create', '-f', written('# nothing\n')], { hyperplug });
    expect(empty.err).to.contain('expected 1 to 1000 pods, got 0');
    const gone = await cli(['pod', 'create', '-f', join(directory, 'gone')], { hyperplug });
    expect(gone.err).to.match(/HOST_IO.*ENOENT/);
    expect(hyperplug.pods.calls).to.deep.equal([]);
  });
  it('start takes ids, or a file whose pods are made where they are not there', async () => {
    const byId = engine('a');
    expect((await cli(['pod', 'start', 'a'], { hyperplug: byId })).out).to.equal('a\n');
    expect(named(byId)).to.deep.equal([['start', 'a']]);
    const byFile = engine('a');
    expect((await cli(['pod', 'start', '-f', written(TWO)], { hyperplug: byFile })).exitCode).to.equal(0);
    expect(named(byFile)).to.deep.equal([
      ['start', 'a'],
      ['create', { id: 'b' }],
      ['start', 'b'],
    ]);
  });
  it('stop, pause, resume and rm take ids or a file', async () => {
    const hyperplug = engine('a', 'b');
    const file = written(TWO);
    for (const words of [
      ['pause', 'a'],
      ['resume', 'a'],
      ['stop', '--time', '0', 'a'],
      ['stop', '-f', file],
    ]) {
      expect((await cli(['pod', ...words], { hyperplug })).exitCode, words.join(' ')).to.equal(0);
    }
    expect((await cli(['pod', 'rm', '--force', '-f', file], { hyperplug })).out).to.equal('a\nb\n');
    expect(hyperplug.pods.calls).to.deep.equal([
      ['pause', 'a'],
      ['resume', 'a'],
      ['stop', 'a', 0],
      ['stop', 'a', undefined],
      ['stop', 'b', undefined],
      ['remove', 'a', true],
      ['remove', 'b', true],
    ]);
    expect(hyperplug.statuses).to.deep.equal([]);
  });
  it('of a pod that is not there, or is refused, goes on with the others', async () => {
    const hyperplug = engine('a', 'b');
    hyperplug.pods.refusals.set('a', new HyperplugError('POD_BUSY', 'another process holds it'));
    const { exitCode, out, err } = await cli(['pod', 'stop', 'a', 'x', 'b'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([125, 'b\n']);
    expect(err).to.equal(
      'hyperplug: POD_BUSY: pod a: another process holds it\nhyperplug: POD_NOT_FOUND: pod x: no pod of the id "x"\n',
    );
  });
  it('wait prints what came of each', async () => {
    const hyperplug = engine('a');
    const { out } = await cli(['pod', 'wait', '--timeout', '5m', 'a'], { hyperplug });
    expect(out).to.equal('a failed: its kernel panicked\n');
    expect(hyperplug.pods.calls).to.deep.equal([['wait', 'a', 300_000]]);
  });
  it('inspect prints JSON, asked for or not', async () => {
    for (const json of [[], ['--json']]) {
      const { out } = await cli(['pod', 'inspect', ...json, 'a'], { hyperplug: engine('a') });
      expect((JSON.parse(out) as { id: string; spec: object }[])[0]).to.deep.include({ id: 'a', spec: { id: 'a' } });
    }
  });
  it('takes several files, all read before anything is done', async () => {
    const hyperplug = engine('a', 'c');
    const more = join(directory, 'more.yaml');
    writeFileSync(more, 'id: c\n');
    const files = ['-f', more, '--file', written('id: a\n')];
    expect((await cli(['pod', 'stop', ...files], { hyperplug })).out).to.equal('c\na\n');
    expect((await cli(['pod', 'create', ...files], { hyperplug: engine() })).out).to.equal('c\na\n');
    const untouched = engine();
    const broken = await cli(['pod', 'create', '-f', more, '-f', join(directory, 'none')], { hyperplug: untouched });
    expect([broken.exitCode, untouched.pods.calls]).to.deep.equal([125, []]);
    const twice = await cli(['pod', 'create', '-f', more, '-f', more], { hyperplug: untouched });
    expect([twice.exitCode, untouched.pods.calls]).to.deep.equal([2, []]);
    expect(twice.err).to.contain('more.yaml twice');
  });
  it('wants pods by id or by file, and not both', async () => {
    const hyperplug = engine('a');
    for (const [words, fix] of [
      [['stop'], 'no pod was given'],
      [['stop', 'a', '-f', written(TWO)], 'by id and by --file'],
      [['start', 'a', '-f', written(TWO)], 'by id and by --file'],
      [['create'], 'no specification'],
      [['stop', '--time', '-1', 'a'], '--time'],
    ] as const) {
      const { exitCode, err } = await cli(['pod', ...words], { hyperplug });
      expect(exitCode, err).to.equal(2);
      expect(err).to.contain(fix);
    }
    const { err } = await cli(['pod', 'stop', '-f', written('hostname: x\n')], { hyperplug });
    expect(err).to.match(/POD_SPEC_INVALID: .*pod 1: id: expected text/);
    expect(hyperplug.pods.calls).to.deep.equal([]);
  });
  it('ls and ps list by label', async () => {
    const hyperplug = engine('a');
    hyperplug.statuses.push(status('b', { labels: { tier: 'web' } }), status('c', { state: 'created' }));
    for (const words of [['pod', 'ls'], ['ps']]) {
      const ids = async (...more: string[]) =>
        (JSON.parse((await cli([...words, '--json', ...more], { hyperplug })).out) as { id: string }[]).map(
          ({ id }) => id,
        );
      expect(await ids()).to.deep.equal(['a', 'b']);
      expect(await ids('--label', 'tier=web')).to.deep.equal(['b']);
      expect(await ids('--all')).to.deep.equal(['a', 'b', 'c']);
    }
  });
});

describe('hyperplug exec --container', () => {
  it('is the container’s', async () => {
    const hyperplug = engine('web');
    await cli(['exec', '-c', 'db', 'web', 'ps'], { hyperplug });
    expect(hyperplug.made[0]?.fake.started[0]).to.have.nested.property('request.container', 'db');
  });
});

describe('hyperplug logs', () => {
  const LOG = 'Linux version 6\r\n\x1b[31mred\x1b[0m\r\n';
  const pod = (...more: string[]) => {
    const hyperplug = engine('web');
    hyperplug.pods.log.push(Buffer.from(LOG), ...more.map((text) => Buffer.from(text)));
    return hyperplug;
  };
  it('is as it is, into a pipe', async () => {
    expect((await cli(['logs', 'web'], { hyperplug: pod() })).out).to.equal(LOG);
  });
  it('is harmless on a terminal', async () => {
    const { out } = await cli(['logs', 'web'], { io: new FakeIo({ stdout: true }), hyperplug: pod() });
    expect(out).to.equal('Linux version 6\n^[[31mred^[[0m\n');
  });
  it('with --json is an object a line, however it is cut', async () => {
    const { out } = await cli(['logs', '--json', 'web'], { hyperplug: pod('no', ' end') });
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { line: string }).line);
    expect(lines).to.deep.equal(['Linux version 6', '\x1b[31mred\x1b[0m', 'no end']);
  });
  it('hands on what is asked for', async () => {
    const hyperplug = pod();
    await cli(['logs', '--tail', '5', '-c', 'db', 'web'], { hyperplug });
    expect(hyperplug.pods.calls).to.deep.equal([['logs', 'web', { follow: false, container: 'db', tail: 5 }]]);
    expect((await cli(['logs', '--tail', 'x', 'web'], { hyperplug })).exitCode).to.equal(2);
  });
  it('-f follows until the pod ends', async () => {
    const io = new FakeIo();
    const hyperplug = pod();
    const end = cli(['logs', '-f', 'web'], { io, hyperplug });
    await until(() => io.out.text.includes('red'), 'the beginning');
    hyperplug.pods.log.push(Buffer.from('more\n'));
    hyperplug.pods.push();
    await until(() => io.out.text.endsWith('more\n'), 'what was appended');
    hyperplug.pods.end();
    expect((await end).exitCode).to.equal(0);
  });
  it('-f ends on Ctrl-C, and when nobody reads', async () => {
    const io = new FakeIo();
    const end = cli(['logs', '-f', 'web'], { io, hyperplug: pod() });
    await until(() => io.out.text.includes('red'), 'the beginning');
    io.signals.emit('SIGINT');
    expect((await end).exitCode).to.equal(130);
    const closed = new FakeIo();
    const left = cli(['logs', '-f', 'web'], { io: closed, hyperplug: pod() });
    await until(() => closed.out.text.includes('red'), 'the beginning');
    closed.out.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
    expect((await left).exitCode).to.equal(141);
  });
  it('of no pod is an error', async () => {
    const { exitCode, err } = await cli(['logs', 'nope'], { hyperplug: pod() });
    expect([exitCode, err]).to.deep.equal([125, 'hyperplug: POD_NOT_FOUND: no pod of the id "nope"\n']);
  });
});

describe('hyperplug events', () => {
  const event = (sequence: number, changes: Partial<PodEvent> = {}): PodEvent => ({
    sequence,
    time: '2026-01-02T03:04:05.678Z',
    pod: 'web',
    type: 'started',
    data: {},
    ...changes,
  });
  const happened = (...events: PodEvent[]) => {
    const hyperplug = engine();
    hyperplug.pods.happened.push(...events);
    return hyperplug;
  };
  it('are lines, harmless ones', async () => {
    const hyperplug = happened(
      event(1),
      event(2, { type: 'failed', data: { failure: 'gone\x1b[31m', exit: { n: 1 } } }),
    );
    const { out } = await cli(['events'], { hyperplug });
    expect(out).to.equal(
      '2026-01-02T03:04:05.678Z web started\n2026-01-02T03:04:05.678Z web failed failure=gone^[[31m exit={"n":1}\n',
    );
    expect(hyperplug.pods.calls).to.deep.equal([['events', { follow: false, since: 0 }]]);
  });
  it('with --json are an object a line; pods and --since are handed on', async () => {
    const hyperplug = happened(event(8));
    const { out } = await cli(['events', '--json', '--since', '7', 'web', 'db'], { hyperplug });
    expect(out).to.equal(`${JSON.stringify(event(8))}\n`);
    expect(hyperplug.pods.calls).to.deep.equal([['events', { follow: false, pods: ['web', 'db'], since: 7 }]]);
  });
  it('-f goes on from now, until Ctrl-C', async () => {
    const io = new FakeIo();
    const hyperplug = happened();
    const end = cli(['events', '-f'], { io, hyperplug });
    await until(() => hyperplug.pods.calls.length === 1, 'the call');
    hyperplug.pods.happened.push(event(1));
    await until(() => {
      hyperplug.pods.push();
      return io.out.text.includes('started');
    }, 'the event');
    io.signals.emit('SIGINT');
    expect((await end).exitCode).to.equal(130);
    expect(hyperplug.pods.calls).to.deep.equal([['events', { follow: true }]]);
  });
});

describe('hyperplug stats', () => {
  const at = (seconds: number, cpuMs: number, receivedBytes: number) =>
    stats({
      time: new Date(seconds * 1000).toISOString(),
      host: { cpuMs, memoryPssBytes: 1.5 * 2 ** 30 },
      nics: [{ id: 'eth0', receivedBytes, receivedPackets: 1, sentBytes: 0, sentPackets: 0 }],
    });
  const hyperplug = () => {
    const fake = engine('web');
    fake.statuses.push(status('made', { state: 'created' }));
    fake.pods.readings = [at(10, 1000, 500), at(12, 1500, 4596)];
    return fake;
  };
  it('are what happened between two readings, of all that run', async () => {
    const { out } = await cli(['stats', '--interval', '1ms'], { hyperplug: hyperplug() });
    expect(out.split('\n')).to.deep.equal([
      'POD  CPU    MEMORY   GUEST CPU  GUEST MEMORY       RECEIVED   SENT   PROCESSES',
      'web  25.0%  1.5 GiB  0.0%       128 MiB / 256 MiB  2.0 KiB/s  0 B/s  7',
      '',
    ]);
  });
  it('with --json are an object a pod and line, again with --watch until Ctrl-C', async () => {
    const io = new FakeIo();
    const end = cli(['stats', '--watch', '--json', '--interval', '1ms', 'web'], { io, hyperplug: hyperplug() });
    await until(() => io.out.text.split('\n').length > 3, 'three readings');
    io.signals.emit('SIGINT');
    expect((await end).exitCode).to.equal(130);
    const [first] = io.out.text.split('\n').map((line) => (line === '' ? {} : (JSON.parse(line) as object)));
    expect(first).to.have.nested.property('rates.hostCpuPercent', 25);
    expect(first).to.have.property('pod', 'web');
  });
  it('of a pod that was named and does not run are an error', async () => {
    const { exitCode, err } = await cli(['stats', 'nope'], { hyperplug: hyperplug() });
    expect([exitCode, err]).to.deep.equal([125, 'hyperplug: POD_NOT_FOUND: no pod of the id "nope"\n']);
  });
});

describe('hyperplug cp', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hyperplug-cp-'));
    writeFileSync(join(directory, 'file'), 'content');
  });
  after(() => rmSync(directory, { recursive: true }));
  /** A guest that keeps what its tar is given, and gives it back. */
  const guest = () => {
    const kept: Buffer[] = [];
    const program: Program = async (process) => {
      const { argv } = process.request;
      if (argv[0] === 'test') return process.exit(1);
      if (argv.includes('-x')) for await (const chunk of process.stdin) kept.push(chunk as Buffer);
      else for (const chunk of kept) process.stdout.write(chunk);
      process.exit(0);
    };
    const hyperplug = FakeHyperplug.running(program);
    hyperplug.statuses = [status('web')];
    const argvs = () =>
      hyperplug.made
        .flatMap(({ fake }) => fake.started)
        .map((one) => (one as never as { request: { argv: string[] } }).request.argv);
    return { hyperplug, argvs };
  };
  it('copies in and out, in silence', async () => {
    const { hyperplug, argvs } = guest();
    const there = await cli(['cp', join(directory, 'file'), 'web:/tmp/copy'], { hyperplug });
    expect([there.exitCode, there.out, there.err]).to.deep.equal([0, '', '']);
    expect(argvs()).to.deep.equal([
      ['test', '-d', '/tmp/copy'],
      ['tar', '-x', '-p', '-f', '-', '-C', '/tmp'],
    ]);
    const back = await cli(['cp', '--json', 'web:/tmp/copy', join(directory, 'back')], { hyperplug });
    expect(JSON.parse(back.out)).to.deep.equal({ files: 1, directories: 0, links: 0, bytes: 7, skipped: [] });
    expect(readFileSync(join(directory, 'back'), 'utf8')).to.equal('content');
    expect(hyperplug.made.every(({ fake }) => fake.released)).to.equal(true);
    const small = await cli(['cp', '--max-size', '1', '-c', 'db', 'web:tmp/copy', directory], { hyperplug });
    expect(small.exitCode, small.err).to.equal(0);
    expect(argvs().at(-1)).to.deep.equal(['tar', '-c', '-f', '-', '-C', '/tmp', './copy']);
  });
  it('- is an archive on standard input or output', async () => {
    const { hyperplug } = guest();
    const io = new FakeIo();
    io.input.end('archive');
    await cli(['cp', '-', 'web:/srv'], { io, hyperplug });
    expect((await cli(['cp', 'web:/srv', '-'], { hyperplug })).out).to.equal('archive');
  });
  it('wants one place in a pod', async () => {
    const { hyperplug } = guest();
    for (const words of [
      ['a', 'b'],
      ['web:/a', 'db:/b'],
      ['-', '-'],
      ['', 'web:/a'],
      ['./web:a', 'b'],
    ]) {
      expect((await cli(['cp', ...words], { hyperplug })).exitCode, words.join(' ')).to.equal(2);
    }
    expect(hyperplug.made).to.deep.equal([]);
  });
  it('tells why the guest’s tar failed', async () => {
    const hyperplug = FakeHyperplug.running((process) => {
      process.stderr.write('tar: /nope: No such file or directory\n');
      process.exit(1);
    });
    hyperplug.statuses = [status('web')];
    const { exitCode, err } = await cli(['cp', 'web:/nope', join(directory, 'x')], { hyperplug });
    expect(exitCode).to.equal(125);
    expect(err).to.match(/^hyperplug: POD_COPY_FAILED: \/nope: tar: \/nope: No such file/);
    expect(existsSync(join(directory, 'x'))).to.equal(false);
  });
});
