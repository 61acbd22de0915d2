import { expect } from 'chai';
import { FakeHyperplug } from '../../../support/cli/fake-engine.js';
import { cli } from '../../../support/cli/fake-io.js';
import { templateStatus } from '../../../support/cli/fake-templates.js';

function engine(): FakeHyperplug {
  const hyperplug = FakeHyperplug.running((process) => process.exit(0));
  hyperplug.templates.all = [
    templateStatus('auto-256m-1c-3n', { automatic: true }),
    templateStatus('broken', { state: 'unreadable', why: 'template.json is missing' }),
    templateStatus('small', { state: 'stale', why: 'other kernel \x1b[31m', memoryMib: 128, nicSlots: 1 }),
  ];
  return hyperplug;
}

describe('hyperplug template', () => {
  it('create asks for what was said and no more, and prints the name', async () => {
    const hyperplug = engine();
    const { exitCode, out } = await cli(['template', 'create', 'new'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([0, 'new\n']);
    const options = [
      '--memory',
      '1g',
      '--cpus',
      '2',
      '--nics',
      '0',
      '--kernel',
      '/k',
      '--initramfs',
      '/i',
      '--replace',
    ];
    await cli(['template', 'create', 'full', ...options], { hyperplug });
    expect(hyperplug.templates.asked).to.deep.equal([
      { name: 'new', replace: false },
      { name: 'full', memoryMib: 1024, cpus: 2, nicSlots: 0, kernel: '/k', initramfs: '/i', replace: true },
    ]);
  });

  it('ls tells which are fresh and why others are not, without steering the terminal', async () => {
    const { exitCode, out } = await cli(['template', 'ls'], { hyperplug: engine() });
    expect(exitCode).to.equal(0);
    expect(out.split('\n')).to.deep.equal([
      'TEMPLATE         STATE       AGE  DRIVER  CPUS  MEMORY   NICS  SIZE      WHY',
      'auto-256m-1c-3n  fresh       1m   qemu    1     256 MiB  3     40.0 MiB  made for template: auto',
      'broken           unreadable  -    -       -     -        -     -         template.json is missing',
      'small            stale       1m   qemu    1     128 MiB  1     40.0 MiB  other kernel ^[[31m',
      '',
    ]);
  });

  it('inspect gives all it knows; one that is not there is an error of ours', async () => {
    const hyperplug = engine();
    const { out } = await cli(['template', 'inspect', 'small'], { hyperplug });
    expect(JSON.parse(out)).to.deep.equal([hyperplug.templates.all[2]]);
    const { exitCode, err } = await cli(['template', 'inspect', 'nope'], { hyperplug });
    expect([exitCode, err]).to.deep.equal([125, 'hyperplug: TEMPLATE_NOT_FOUND: no template named nope\n']);
  });

  it('rm goes on past what is not there, and says so', async () => {
    const hyperplug = engine();
    const { exitCode, out, err } = await cli(['template', 'rm', 'nope', 'small'], { hyperplug });
    expect([exitCode, out]).to.deep.equal([125, 'small\n']);
    expect(err).to.include('TEMPLATE_NOT_FOUND');
    expect(hyperplug.templates.all.map(({ name }) => name)).to.not.include('small');
  });

  describe('pool', () => {
    it('is the daemon’s: without one it is refused', async () => {
      const { exitCode, err } = await cli(['pool', 'ls'], { hyperplug: engine() });
      expect(exitCode).to.equal(125);
      expect(err).to.include('DAEMON_UNREACHABLE').and.include('hyperplug daemon');
    });
    it('ls, fill and drain tell what there is', async () => {
      const hyperplug = Object.assign(engine(), { daemon: {} });
      const since = new Date(Date.now() - 5_000).toISOString();
      hyperplug.pool.now = {
        size: 2,
        ready: [{ id: 'pool-a', pid: 42, template: 'small', memoryMib: 128, since }],
        making: 1,
        totalMib: 4096,
        claims: 3,
        misses: 1,
        failure: 'no \x1b[31m room',
      };
      const { out } = await cli(['pool', 'ls'], { hyperplug });
      expect(out.split('\n')).to.deep.equal([
        'CLONE   TEMPLATE  AGE  MEMORY   PID',
        'pool-a  small     5s   128 MiB  42',
        '1 of 2 ready, 1 being made; 3 taken, 1 missed',
        'not full: no ^[[31m room',
        '',
      ]);
      await cli(['pool', 'fill', '--size', '4'], { hyperplug });
      await cli(['pool', 'fill'], { hyperplug });
      await cli(['pool', 'drain'], { hyperplug });
      expect(hyperplug.pool.calls.slice(1)).to.deep.equal([['fill', 4], ['fill', undefined], ['drain']]);
    });
  });

  it('run --template is in the specification', async () => {
    const hyperplug = engine();
    await cli(['run', '--template', 'small', '--', 'true'], { hyperplug });
    expect(hyperplug.specs[0]).to.include({ template: 'small' });
  });
});
