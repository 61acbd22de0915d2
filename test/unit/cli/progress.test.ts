import { expect } from 'chai';
import { CliProgress } from '../../../src/cli/progress.js';
import { FakeIo, until } from '../../support/cli/fake-io.js';

/** A clock that the test turns; the redraw timer itself is real. */
function make(terminal: boolean, env: Record<string, string> = {}) {
  const io = new FakeIo({ stderr: terminal });
  io.env = env;
  io.size = terminal ? { rows: 24, columns: 40 } : undefined;
  const clock = { ms: 0 };
  return { io, clock, progress: new CliProgress(io, () => clock.ms) };
}
const aTick = () => new Promise((resolve) => setTimeout(resolve, 250));

describe('progress', () => {
  it('of what is quick is not shown', async () => {
    for (const terminal of [true, false]) {
      const { io, clock, progress } = make(terminal);
      const task = progress.begin('quick');
      clock.ms = 299;
      await aTick();
      task.done();
      expect(io.err.text).to.equal('');
    }
  });

  it('on a terminal is one line, redrawn, within its width, and erased', async () => {
    const { io, clock, progress } = make(true);
    const task = progress.begin('fetching linux-image-cloud-amd64 from the mirror');
    task.update(3.25, 12, 'MB');
    clock.ms = 400;
    await until(() => io.err.text.split('\r').length > 2, 'two drawings');
    progress.stop();
    await aTick();
    const { text } = io.err;
    expect(text).to.not.contain('\n');
    expect(text.endsWith('\r\x1b[K')).to.equal(true);
    for (const line of text.split('\r\x1b[K')) expect([...line].length).to.be.below(40);
    expect(text).to.contain('fetching linux-image');
  });

  it('shows percentage and amount', async () => {
    const { io, clock, progress } = make(true);
    progress.begin('x').update(3.25, 13, 'MB');
    clock.ms = 400;
    await until(() => io.err.text !== '', 'a drawing');
    expect(io.err.text).to.contain('x 25 % (3.3 of 13 MB)');
    progress.stop();
  });

  it('elsewhere is plain lines, few of them', async () => {
    for (const [terminal, env] of [
      [false, {}],
      [true, { TERM: 'dumb' }],
    ] as const) {
      const { io, clock, progress } = make(terminal, env);
      const task = progress.begin('building');
      clock.ms = 400;
      await until(() => io.err.text !== '', 'a line');
      task.update(5, undefined, 'packages');
      await aTick();
      clock.ms = 10_500;
      await until(() => io.err.text.split('\n').length > 2, 'another');
      task.done('built');
      task.done('twice');
      expect(io.err.text).to.equal(
        'hyperplug: building…\nhyperplug: building… 5 packages\nhyperplug: building: built\n',
      );
    }
  });

  it('says what failed, and never steers the terminal by a label', async () => {
    const { io, clock, progress } = make(false);
    const task = progress.begin('a\x1b[2Jb');
    clock.ms = 400;
    await until(() => io.err.text !== '', 'a line');
    task.fail('no\nnetwork');
    expect(io.err.text).to.equal('hyperplug: a^[[2Jb…\nhyperplug: a^[[2Jb: failed: no^Jnetwork\n');
  });

  it('after stop() nothing is shown', async () => {
    const { io, clock, progress } = make(true);
    const task = progress.begin('x');
    progress.stop();
    clock.ms = 5_000;
    progress.begin('y');
    clock.ms = 9_000;
    await aTick();
    task.done();
    expect(io.err.text).to.equal('');
  });
});
