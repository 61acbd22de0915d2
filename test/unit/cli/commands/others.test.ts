import { expect } from 'chai';
import type { PluginListing } from '../../../../src/cli/deps.js';
import { HyperplugError } from '../../../../src/core/errors.js';
import { BASE_ENV } from '../../../../src/core/pod/pod-handle.js';
import { FakeHyperplug, firstProcess, type Program, status } from '../../../support/cli/fake-engine.js';
import { cli, FakeIo } from '../../../support/cli/fake-io.js';

const done: Program = (process) => process.exit(0);
const engine = (...ids: string[]) => {
  const hyperplug = FakeHyperplug.running(done);
  hyperplug.statuses = ids.map((id) => status(id));
  return hyperplug;
};

describe('hyperplug exec', () => {
  it('runs the command in the pod, which stays', async () => {
    const hyperplug = engine('web');
    hyperplug.statuses = [status('web')];
    const { exitCode } = await cli(['exec', '-e', 'A=1', '-w', '/srv', '-u', '33', 'web', 'ls', '-l'], { hyperplug });
    expect(exitCode).to.equal(0);
    expect(firstProcess(hyperplug).request).to.deep.equal({
      argv: ['ls', '-l'],
      env: { ...BASE_ENV, A: '1' },
      terminal: false,
      workingDirectory: '/srv',
      user: '33',
    });
    expect(hyperplug.made[0]?.fake).to.include({ released: true, removed: false });
  });
  it('takes a -- between pod and command, and before both', async () => {
    for (const argv of [
      ['exec', 'web', '--', 'ls', '--', '-l'],
      ['exec', '--', 'web', 'ls', '--', '-l'],
    ]) {
      const hyperplug = engine('web');
      await cli(argv, { hyperplug });
      expect(firstProcess(hyperplug).request.argv).to.deep.equal(['ls', '--', '-l']);
    }
  });
  it('an unknown pod is an error of ours', async () => {
    const { exitCode, err } = await cli(['exec', 'nope', 'ls'], { hyperplug: engine('web') });
    expect(exitCode).to.equal(125);
    expect(err).to.equal('hyperplug: POD_NOT_FOUND: no pod of the id "nope"\n');
  });
  it('needs a command', async () => {
    expect((await cli(['exec', 'web'], { hyperplug: engine('web') })).exitCode).to.equal(2);
  });
});

describe('hyperplug ps', () => {
  const hyperplug = () => {
    const fake = engine();
    fake.statuses = [
      status('web', {
        ports: [
          { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 },
          { protocol: 'udp', hostAddress: '::1', hostPort: 50, guestPort: 60, count: 3 },
        ],
      }),
      status('old', { state: 'exited', addresses: [] }),
    ];
    return fake;
  };
  it('lists what runs', async () => {
    const { out } = await cli(['ps'], { hyperplug: hyperplug() });
    expect(out.split('\n')).to.deep.equal([
      'POD  STATE    AGE  DRIVER  CPUS  MEMORY   ADDRESSES         PORTS',
      'web  running  1m   qemu    1     256 MiB  192.168.123.2/24  0.0.0.0:8080->80/tcp, [::1]:50-52->60-62/udp',
      '',
    ]);
  });
  it('and with --all what has exited', async () => {
    expect((await cli(['ps', '--all'], { hyperplug: hyperplug() })).out).to.contain('old  exited');
  });
  it('with --json gives the whole status', async () => {
    const fake = hyperplug();
    expect(JSON.parse((await cli(['ps', '--json'], { hyperplug: fake })).out)).to.deep.equal([fake.statuses[0]]);
  });
});

describe('hyperplug rm', () => {
  it('goes on past failures and reports each', async () => {
    const hyperplug = engine('a', 'b');
    const { exitCode, out, err } = await cli(['rm', '--force', 'a', 'x', 'b', 'a'], { hyperplug });
    expect(exitCode).to.equal(125);
    expect(out).to.equal('a\nb\n');
    expect(err).to.equal('hyperplug: POD_NOT_FOUND: no pod of the id "x"\n');
    expect(hyperplug.removals).to.deep.equal([
      { id: 'a', force: true },
      { id: 'b', force: true },
    ]);
  });
  it('with --json says what came of each', async () => {
    const { exitCode, out, err } = await cli(['rm', '--json', 'a', 'x'], { hyperplug: engine('a') });
    const results = JSON.parse(out) as { error?: { code: string } }[];
    expect(results[0]).to.deep.equal({ id: 'a', removed: true });
    expect(results[1]?.error?.code).to.equal('POD_NOT_FOUND');
    expect([exitCode, err]).to.deep.equal([125, '']);
  });
});

describe('hyperplug doctor', () => {
  const hyperplug = (fail: boolean) => {
    const fake = engine();
    fake.findings = [
      { id: 'qemu.binary', status: 'ok', summary: '/usr/bin/qemu-system-x86_64 7.2' },
      { id: 'qemu.kvm', status: 'warn', summary: 'a guest hung', detail: 'line 1\nline 2', fix: 'use another machine' },
      ...(fail ? [{ id: 'x', status: 'fail', summary: 'broken' } as const] : []),
    ];
    return fake;
  };
  it('is a table with what to do, and 1 if anything fails', async () => {
    const good = await cli(['doctor'], { hyperplug: hyperplug(false) });
    expect(good.exitCode).to.equal(0);
    expect(good.out).to.equal(
      `${[
        'ok    qemu.binary  /usr/bin/qemu-system-x86_64 7.2',
        'warn  qemu.kvm     a guest hung',
        '                   line 1',
        '                   line 2',
        '                   fix: use another machine',
        '1 ok, 1 to look at, 0 failed',
      ].join('\n')}\n`,
    );
    expect((await cli(['doctor'], { hyperplug: hyperplug(true) })).exitCode).to.equal(1);
  });
  it('with --json gives the findings', async () => {
    const fake = hyperplug(true);
    const { exitCode, out } = await cli(['doctor', '--json', '--driver', 'qemu'], { hyperplug: fake });
    expect(JSON.parse(out)).to.deep.equal(fake.findings);
    expect(exitCode).to.equal(1);
  });
});

describe('what shows the program itself', () => {
  const plugin: PluginListing = {
    kind: 'hypervisor',
    name: 'qemu',
    description: 'QEMU',
    apiVersion: 1,
    source: 'built-in',
    selected: true,
    capabilities: { pause: true },
  };
  it('plugins', async () => {
    const deps = { listPlugins: async () => [plugin] };
    expect((await cli(['plugins'], { deps })).out).to.equal(
      'KIND        PLUGIN  USED  FROM      DESCRIPTION\nhypervisor  qemu    yes   built-in  QEMU\n',
    );
    expect(JSON.parse((await cli(['plugins', '--json'], { deps })).out)).to.deep.equal([plugin]);
  });
  it('config show and schema', async () => {
    const config = { text: 'a: 1\n', value: { a: 1 }, origins: { a: 'default' } };
    const asked: boolean[] = [];
    const deps = {
      describeConfig: async ({ origins }: { origins: boolean }) => {
        asked.push(origins);
        return config;
      },
      configSchema: async () => ({ type: 'object' }),
    };
    expect((await cli(['config', 'show'], { deps })).out).to.equal('a: 1\n');
    expect(JSON.parse((await cli(['config', 'show', '--json'], { deps })).out)).to.deep.equal({ a: 1 });
    const both = JSON.parse((await cli(['config', 'show', '--origin', '--json'], { deps })).out);
    expect(both).to.deep.equal({ config: { a: 1 }, origins: { a: 'default' } });
    expect(asked).to.deep.equal([false, false, true]);
    expect(JSON.parse((await cli(['config', 'schema'], { deps })).out)).to.deep.equal({ type: 'object' });
  });
  it('image build', async () => {
    const image = { kernelPath: '/k', initramfsPath: '/i', kernelArgs: [], description: 'Linux 6.1' };
    const deps = {
      buildImage: async (options: { refresh: boolean; progress: { begin(label: string): { done(): void } } }) => {
        options.progress.begin('quick').done();
        return { ...image, kernelArgs: [String(options.refresh)] };
      },
    };
    const { out, err } = await cli(['image', 'build'], { deps });
    expect([out, err]).to.deep.equal(['Linux 6.1\nkernel     /k\ninitramfs  /i\n', '']);
    const json = JSON.parse((await cli(['image', 'build', '--refresh', '--json'], { deps })).out);
    expect(json).to.deep.equal({ ...image, kernelArgs: ['true'] });
  });
  it('version', async () => {
    expect((await cli(['--version'])).out).to.equal('1.2.3\n');
    expect((await cli(['version'])).out).to.match(/^hyperplug 1\.2\.3 \(node /);
    expect(JSON.parse((await cli(['version', '--json'])).out)).to.include({ hyperplug: '1.2.3' });
  });
});

describe('a wrong command line', () => {
  const usage = async (...argv: string[]) => {
    const { exitCode, err, out, engine: opened } = await cli(argv);
    expect(exitCode, argv.join(' ')).to.equal(2);
    expect(out).to.equal('');
    expect(opened).to.have.length(0);
    return err;
  };
  it('is CLI_USAGE, with what was probably meant', async () => {
    expect(await usage('rnu')).to.equal("hyperplug: CLI_USAGE: unknown command 'rnu'\n  fix: Did you mean run?\n");
    expect(await usage('run', '--memroy', '1g', 'x')).to.contain('Did you mean --memory?');
    expect(await usage('config', 'shwo')).to.contain('Did you mean show?');
    expect(await usage('run', '--memory')).to.contain('argument missing');
    expect(await usage('rm')).to.contain('missing required argument');
    expect(await usage('completion', 'tcsh')).to.contain('Allowed choices are bash, zsh, fish');
    expect(await usage('ps', '--log-level', 'loud')).to.contain('Allowed choices are');
    expect(await usage('run', '--memory', '1x', 'y')).to.match(/^hyperplug: CLI_USAGE: --memory: expected MiB/);
    expect(await usage('run', '-p', '80', 'y')).to.match(/^hyperplug: CLI_USAGE: --publish: expected/);
    expect(await usage('ps', 'extra')).to.contain('too many arguments');
  });
  it('is JSON with --json', async () => {
    const error = JSON.parse(await usage('ps', '--json', '--nope')) as { error: { code: string } };
    expect(error.error.code).to.equal('CLI_USAGE');
  });
  it('without a command shows the help on standard error', async () => {
    expect(await usage()).to.contain('Usage: hyperplug');
    expect(await usage('config')).to.contain('Usage: hyperplug config');
  });
  it('help that is asked for is output', async () => {
    for (const argv of [['--help'], ['run', '--help'], ['help', 'run'], ['config', 'show', '-h']]) {
      const { exitCode, out, err } = await cli(argv);
      expect([exitCode, err], argv.join(' ')).to.deep.equal([0, '']);
      expect(out).to.contain('Usage: hyperplug').and.to.contain('Examples:\n');
    }
  });
});

describe('errors of the engine', () => {
  it('are told once and end with 125', async () => {
    const deps = {
      openHyperplug: async () => {
        throw new HyperplugError('CONFIG_INVALID', 'pods.memoryMib: expected a number, got "x" (string)', {
          details: { fix: 'mend it' },
        });
      },
    };
    const { exitCode, out, err } = await cli(['ps'], { deps });
    expect([exitCode, out]).to.deep.equal([125, '']);
    expect(err).to.equal(
      'hyperplug: CONFIG_INVALID: pods.memoryMib: expected a number, got "x" (string)\n  fix: mend it\n',
    );
  });
  it('a listing whose reader is gone ends as by SIGPIPE', async () => {
    const io = new FakeIo();
    io.out.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }));
    await new Promise((resolve) => setImmediate(resolve));
    const { exitCode, err } = await cli(['ps'], { io, hyperplug: engine('a') });
    expect([exitCode, err]).to.deep.equal([141, '']);
  });
});
