import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { requireOrSkip } from '../../support/require.js';

const HARNESS = fileURLToPath(new URL('../../support/cli/harness.js', import.meta.url));

/**
 * Runs the program on a terminal of its own. The script is Python's, on the master's side: wait(text) until it was shown,
 * send(bytes), resize(rows, columns), signal(number). It prints, as JSON, what was shown, the exit status, and whether
 * the terminal's modes are as before.
 */
const PTY = `
import fcntl, json, os, pty, select, signal as signals, struct, sys, termios, time
argv, steps = json.loads(sys.argv[1]), json.loads(sys.argv[2])
shown, deadline = b'', time.monotonic() + 40
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 111, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(slave, fd)
    os.environ['TERM'] = 'xterm-test'
    os.execv(argv[0], argv)
def pump(seconds):
    global shown
    ready, _, _ = select.select([master], [], [], seconds)
    if ready: shown += os.read(master, 65536)
def wait(text):
    while text.encode() not in shown:
        if time.monotonic() > deadline: raise SystemExit('not shown: %r in %r' % (text, shown))
        pump(0.05)
for name, *args in steps:
    if name == 'wait': wait(*args)
    elif name == 'send': os.write(master, args[0].encode('latin1'))
    elif name == 'resize': fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', args[0], args[1], 0, 0))
    elif name == 'signal': os.kill(pid, args[0])
    elif name == 'pause': pump(args[0])
while True:
    done, status = os.waitpid(pid, os.WNOHANG)
    pump(0.05)
    if done: break
    if time.monotonic() > deadline:
        os.kill(pid, signals.SIGKILL)
        raise SystemExit('did not end: %r' % shown)
pump(0.1)
after = termios.tcgetattr(slave)
print(json.dumps({'shown': shown.decode('utf8', 'replace'), 'code': os.waitstatus_to_exitcode(status), 'restored': before == after}))
`;

type Step =
  | readonly ['wait' | 'send', string]
  | readonly ['resize', number, number]
  | readonly ['signal' | 'pause', number];

async function onTerminal(argv: readonly string[], steps: readonly Step[]) {
  const command = [process.execPath, HARNESS, ...argv];
  const child = spawn('python3', ['-c', PTY, JSON.stringify(command), JSON.stringify(steps)], { timeout: 60_000 });
  const text: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => text.push(data));
  child.stderr.on('data', (data: Buffer) => text.push(data));
  await new Promise((resolve) => child.once('close', resolve));
  const answer = Buffer.concat(text).toString('utf8');
  try {
    return JSON.parse(answer) as { shown: string; code: number; restored: boolean };
  } catch {
    throw new Error(answer);
  }
}

describe('the command line on a terminal', function () {
  this.timeout(90_000);

  before(async function () {
    const child = spawn('python3', ['-c', 'import pty']);
    const ok = await new Promise<boolean>((resolve) => {
      child.once('error', () => resolve(false));
      child.once('exit', (code) => resolve(code === 0));
    });
    requireOrSkip(this, ok, 'python3 with its pty module is needed to play the terminal');
  });

  it('every key reaches the guest, its size follows, and the modes are restored', async () => {
    const { shown, code, restored } = await onTerminal(
      ['run', '-it', 'keys'],
      [
        ['wait', 'size 33x111'],
        ['wait', 'term xterm-test'],
        ['send', '\x03'],
        ['wait', 'byte 03'],
        ['send', '\x1a\x1b[A\r'],
        ['wait', 'byte 0d'],
        ['resize', 20, 70],
        ['wait', 'size 20x70'],
        ['send', 'q'],
      ],
    );
    expect(shown).to.contain('byte 1a').and.to.contain('byte 1b').and.to.contain('byte 5b');
    expect(code).to.equal(9);
    expect(restored).to.equal(true);
  });

  it('without a command it is a shell', async () => {
    const { shown, code, restored } = await onTerminal(
      ['run'],
      [
        ['pause', 0.5],
        ['send', 'echo $((6*7))\nexit 4\n'],
      ],
    );
    expect(shown).to.contain('42');
    expect(code).to.equal(4);
    expect(restored).to.equal(true);
  });

  for (const [name, number] of [
    ['SIGTERM', 15],
    ['SIGHUP', 1],
    ['SIGINT', 2],
  ] as const) {
    it(`${name} from outside is forwarded, and the modes are restored`, async () => {
      const { shown, code, restored } = await onTerminal(
        ['run', '-it', 'keys'],
        [
          ['wait', 'term'],
          ['pause', 0.2],
          ['signal', number],
        ],
      );
      expect(shown).to.contain(`signal ${number}`);
      expect(code).to.equal(128 + number);
      expect(restored).to.equal(true);
    });
  }

  it('the modes are restored after a crash', async () => {
    const { shown, code, restored } = await onTerminal(
      ['run', '-it', 'keys'],
      [
        ['wait', 'term'],
        ['pause', 0.2],
        ['send', '!'],
      ],
    );
    expect(shown).to.contain('hyperplug: internal error: crash on purpose');
    expect(code).to.equal(125);
    expect(restored).to.equal(true);
  });

  it('without -t, ^C is a signal for the command', async () => {
    const { code } = await onTerminal(
      ['run', 'sh', '-c', 'trap "exit 42" INT; echo ready; while :; do sleep 0.05; done'],
      [
        ['wait', 'ready'],
        ['send', '\x03'],
      ],
    );
    expect(code).to.equal(42);
  });
});
