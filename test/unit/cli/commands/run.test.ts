import { type PassThrough, Readable } from 'node:stream';
import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import { BASE_ENV } from '../../../../src/core/pod/pod-handle.js';
import { FakeHyperplug, type FakeProcess, firstProcess, type Program } from '../../../support/cli/fake-engine.js';
import { cli, FakeIo } from '../../../support/cli/fake-io.js';

const exits =
  (code: number): Program =>
  (process) =>
    process.exit(code);

describe('hyperplug run', () => {
  it('returns the exit code of the command, every one of them', async () => {
    for (const code of [0, 1, 2, 7, 124, 125, 137, 255]) {
      const { exitCode } = await cli(['run', '--', 'x'], { hyperplug: FakeHyperplug.running(exits(code)) });
      expect(exitCode).to.equal(code);
    }
  });

  it('keeps the two streams apart and writes nothing of its own', async () => {
    const hyperplug = FakeHyperplug.running((process) => {
      process.stdout.write('out\n');
      process.stderr.write('err\n');
      process.exit(0);
    });
    const { out, err } = await cli(['run', 'sh', '-c', 'x'], { hyperplug });
    expect(out).to.equal('out\n');
    expect(err).to.equal('err\n');
  });

  it('takes everything from the command on as the command', async () => {
    const hyperplug = FakeHyperplug.running(exits(0));
    await cli(['run', '-t', 'ls', '-i', '--json', '--', '--all'], { hyperplug });
    await cli(['run', '-t', '--', 'ls', '--', '-x'], { hyperplug });
    const argvs = hyperplug.made.map((pod) => (pod.fake.started[0] as FakeProcess).request.argv);
    expect(argvs).to.deep.equal([
      ['ls', '-i', '--json', '--', '--all'],
      ['ls', '--', '-x'],
    ]);
  });

  it('turns options into a pod specification and a request', async () => {
    const io = new FakeIo();
    io.env = { HERE: 'yes', TERM: 'vt220' };
    const hyperplug = FakeHyperplug.running(exits(0));
    const argv = `run --memory 1.5g --cpus 2 -p 8080:80 -p [::1]:53:53/udp --name web --label a=b --label c --keep
      --network lab --env A=1 -e HERE --env ABSENT -e B=x=y --workdir /srv --user www --driver fake
      --config c.yaml --log-level debug --log-format json -- id`;
    const { engine, err } = await cli(argv.trim().split(/\s+/), { io, hyperplug });
    expect(hyperplug.specs).to.deep.equal([
      {
        id: 'web',
        resource: { vcpu: 2, memory: 1536 },
        network: 'lab',
        portmappings: [
          { hostPort: '8080', containerPort: '80', protocol: 'tcp' },
          { hostAddress: '::1', hostPort: '53', containerPort: '53', protocol: 'udp' },
        ],
        labels: { a: 'b', c: '' },
        keep: true,
      },
    ]);
    expect(firstProcess(hyperplug).request).to.deep.equal({
      argv: ['id'],
      env: { ...BASE_ENV, A: '1', HERE: 'yes', B: 'x=y' },
      terminal: false,
      workingDirectory: '/srv',
      user: 'www',
    });
    expect(engine[0]).to.include({ configPath: 'c.yaml', driver: 'fake', logLevel: 'debug', logFormat: 'json' });
    expect(err).to.contain('web is kept: hyperplug exec --driver fake web COMMAND, hyperplug rm --driver fake web');
  });

  it('gives the pod the NICs that were described, in their order', async () => {
    const hyperplug = FakeHyperplug.running(exits(0));
    await cli(['run', '--nic', 'ip=10.7.0.5,mtu=1400', '--nic', 'net=dmz,name=wan0', 'id'], { hyperplug });
    await cli(['run', '--network', 'lab', '--nic', 'ip=10.7.0.5', '--nic', 'net=dmz', 'id'], { hyperplug });
    const nics = hyperplug.specs.map((spec) => (spec as { interfaces: unknown }).interfaces);
    expect(nics).to.deep.equal([
      [
        { ip: ['10.7.0.5'], mtu: 1400 },
        { network: 'dmz', ifname: 'wan0' },
      ],
      [{ ip: ['10.7.0.5'] }, { network: 'dmz' }],
    ]);
    expect(hyperplug.specs[1]).to.include({ network: 'lab' });
  });

  it('refuses a NIC that cannot be before anything starts', async () => {
    const hyperplug = FakeHyperplug.running(exits(0));
    const { exitCode, err } = await cli(['run', '--nic', 'nett=lab', 'id'], { hyperplug });
    expect(exitCode).to.equal(2);
    expect(err).to.contain('did you mean net?');
    expect(hyperplug.specs).to.have.length(0);
  });

  it('leaves what was not said to the configuration', async () => {
    const hyperplug = FakeHyperplug.running(exits(0));
    const { engine } = await cli(['run', 'id'], { hyperplug });
    expect(hyperplug.specs).to.deep.equal([{ resource: {}, portmappings: [], labels: {}, keep: false, nicSlots: 0 }]);
    expect(engine[0]).to.include({ configPath: undefined, driver: undefined, logLevel: undefined });
  });

  it('takes common options before the command word, too', async () => {
    const { engine } = await cli(['--config', 'a', '--log-level', 'info', 'run', '--config', 'b', 'id'], {
      hyperplug: FakeHyperplug.running(exits(0)),
    });
    expect(engine[0]).to.include({ configPath: 'b', logLevel: 'info' });
  });

  it('removes the pod, and keeps it with --keep', async () => {
    const gone = FakeHyperplug.running(exits(3));
    await cli(['run', 'x'], { hyperplug: gone });
    expect(gone.made[0]?.fake).to.include({ removed: true, released: false });
    const kept = FakeHyperplug.running(exits(3));
    const run = await cli(['run', '--keep', '--json', 'x'], { hyperplug: kept });
    expect(kept.made[0]?.fake).to.include({ removed: false, released: true });
    expect(JSON.parse(run.err)).to.deep.equal({ kept: 'pod-0123456789' });
    expect(run.exitCode).to.equal(3);
  });

  it('tells a failure to clean up; a success is none then', async () => {
    for (const [code, expected] of [
      [0, 125],
      [7, 7],
    ] as const) {
      const hyperplug = FakeHyperplug.running(exits(code));
      hyperplug.closeError = new HyperplugError('HOST_COMMAND_FAILED', 'tap0 is still there');
      const { exitCode, err } = await cli(['run', 'x'], { hyperplug });
      expect(exitCode).to.equal(expected);
      expect(err).to.equal('hyperplug: HOST_COMMAND_FAILED: tap0 is still there\n');
    }
  });

  describe('standard input', () => {
    const echo: Program = (process) => {
      process.stdin.pipe(process.stdout, { end: false });
      process.stdin.on('end', () => process.exit(0));
    };
    const run = async (argv: string[], kind: FakeIo['kind'], text: string) => {
      const io = new FakeIo({ stdout: false });
      io.kind = kind;
      io.input.end(text);
      return { ...(await cli(argv, { io, hyperplug: FakeHyperplug.running(echo) })), opened: io.stdinOpened };
    };

    it('a pipe, and a file from its beginning, are forwarded', async () => {
      expect(await run(['run', 'cat'], 'stream', 'x\n')).to.include({ out: 'x\n', opened: true });
      expect(await run(['run', 'cat'], 'file', 'x\n')).to.include({ out: 'x\n', opened: true });
    });
    it('a terminal is not, nor a file that is being read by somebody', async () => {
      expect(await run(['run', 'cat'], 'terminal', 'x\n')).to.include({ out: '', opened: false, exitCode: 0 });
      expect(await run(['run', 'cat'], 'file-begun', 'x\n')).to.include({ out: '', opened: false, exitCode: 0 });
    });
    it('-i forwards whatever it is, -n nothing', async () => {
      for (const kind of ['terminal', 'file-begun', 'stream'] as const) {
        expect(await run(['run', '-i', 'cat'], kind, 'x\n')).to.include({ out: 'x\n', opened: true });
        expect(await run(['run', '-n', 'cat'], kind, 'x\n')).to.include({ out: '', opened: false });
      }
    });
    it('-i with -n, and -it without a terminal, are refused before anything starts', async () => {
      for (const argv of [
        ['run', '-i', '-n', 'x'],
        ['run', '-it', 'x'],
      ]) {
        const { exitCode, err, engine } = await run(argv, 'stream', '');
        expect(exitCode).to.equal(2);
        expect(err).to.match(/^hyperplug: CLI_USAGE: /);
        expect(engine).to.have.length(0);
      }
    });
    it('is read at the pace of the command', async () => {
      const io = new FakeIo();
      io.kind = 'stream';
      const chunk = Buffer.alloc(64 * 1024, 'x');
      let read = 0;
      const source = Readable.from(
        (function* () {
          for (; read < 1000; read++) yield chunk;
        })(),
      );
      io.stdin = () => source as PassThrough;
      const hyperplug = FakeHyperplug.running((process) => {
        process.stdout.write('running');
        setTimeout(() => process.exit(0), 200);
      });
      await cli(['run', 'sleep'], { io, hyperplug });
      expect(io.out.text).to.equal('running');
      expect(read).to.be.within(1, 50);
    });
    it('that the command closes is read no further', async () => {
      const io = new FakeIo();
      io.kind = 'stream';
      const hyperplug = FakeHyperplug.running((process) => {
        process.stdin.once('data', () => {
          process.stdin.destroy(new Error('EPIPE'));
          setTimeout(() => process.exit(0), 20);
        });
      });
      io.input.write('a');
      expect((await cli(['run', 'head'], { io, hyperplug })).exitCode).to.equal(0);
      io.input.write('b');
      expect(io.input.isPaused()).to.equal(true);
    });
  });

  it('waits for a slow reader and loses nothing', async () => {
    const io = new FakeIo();
    io.out.hold();
    const lines = Array.from({ length: 5000 }, (_, index) => `line ${index} ${'x'.repeat(100)}\n`);
    const hyperplug = FakeHyperplug.running(async (process) => {
      for (const line of lines) {
        if (!process.stdout.write(line)) await new Promise((resolve) => process.stdout.once('drain', resolve));
      }
      process.exit(0);
    });
    const end = cli(['run', 'x'], { io, hyperplug });
    const timer = setInterval(() => {
      io.out.letGo();
      io.out.hold();
    }, 1);
    await end;
    clearInterval(timer);
    expect(io.out.text).to.equal(lines.join(''));
  });
});
