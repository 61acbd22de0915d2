import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { eventually } from '../support/eventually.js';
import { requireOrSkip } from '../support/require.js';
import { repository, Sandbox } from '../support/sandbox.js';

/** script(1) of bsdutils gives the program a terminal of its own; what is written to its input is typed. */
describe('hyperplug run -it on a terminal', function () {
  this.timeout(300_000);
  let sandbox: Sandbox;

  before(async function () {
    requireOrSkip(this, existsSync('/usr/bin/script'), 'script(1) of bsdutils is not installed');
    sandbox = await Sandbox.make();
    expect((await sandbox.run(['image', 'build'], { timeoutMs: 600_000 })).code).to.equal(0);
  });
  afterEach(async () => {
    if (sandbox) expect(await sandbox.leftovers()).to.deep.equal([]);
  });
  after(() => sandbox?.dispose());

  function terminal(
    size: string,
    args: string,
  ): { child: ChildProcess; screen: () => string; ended: Promise<number | null> } {
    const main = join(repository, 'dist/bundle/cli/main.js');
    const command = `stty ${size}; exec '${process.execPath}' '${main}' ${args}`;
    const child = spawn('script', ['-qfec', command, '/dev/null'], {
      env: { ...process.env, HYPERPLUG_CONFIG: sandbox.configPath, TERM: 'xterm', SHELL: '/bin/sh' },
      stdio: 'pipe',
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    const ended = once(child, 'close').then(([code]) => code as number | null);
    return { child, screen: () => text, ended };
  }

  const shows = (screen: () => string, pattern: RegExp) =>
    eventually(async () => expect(screen(), JSON.stringify(screen())).to.match(pattern), 60_000);

  it('is an interactive shell: a terminal of the right size, arrows, Ctrl-C to the guest, exit code', async () => {
    const { child, screen, ended } = terminal('rows 33 cols 99', 'run -it -- sh');
    child.stdin?.on('error', () => {});
    const type = (keys: string) => child.stdin?.write(keys);
    await shows(screen, /# /);
    type('tty; stty size; echo TERM=$TERM\r');
    await shows(screen, /\/dev\/pts\/\d+\r\n33 99\r\nTERM=xterm\r\n/);
    // The cursor goes left over the last letter, and the one that was missing is typed.
    type('echo [ac\x1b[Db\r');
    await shows(screen, /\r\n\[abc\r\n/);
    type('sleep 1000\r');
    // The shell has to have given the terminal to the program before Ctrl-C is a signal.
    await eventually(async () => {
      type('\x03');
      expect(screen()).to.match(/\^C\r\n/);
    }, 20_000);
    type('echo still here; exit 3\r');
    await shows(screen, /\r\nstill here\r\n/);
    expect(await ended).to.equal(3);
  });
});
