import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { until } from '../../support/cli/fake-io.js';

const HARNESS = fileURLToPath(new URL('../../support/cli/harness.js', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: Buffer;
  readonly err: string;
}

function start(argv: readonly string[], options: { stdin?: 'ignore' | 'pipe' | number; env?: object } = {}) {
  const child = spawn(process.execPath, [HARNESS, ...argv], {
    stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    timeout: 60_000,
  });
  const err: Buffer[] = [];
  child.stderr?.on('data', (data: Buffer) => err.push(data));
  return { child, errText: () => Buffer.concat(err).toString('utf8') };
}

async function ended({ child, errText }: { child: ChildProcess; errText: () => string }): Promise<Ended> {
  const out: Buffer[] = [];
  child.stdout?.on('data', (data: Buffer) => out.push(data));
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.once('close', (...exit) => resolve(exit as [number | null, string | null]));
  });
  return { code, signal, out: Buffer.concat(out), err: errText() };
}

const run = (argv: readonly string[], options: Parameters<typeof start>[1] = {}) => ended(start(argv, options));

/** A shell line in which $H stands for the program. */
async function shell(line: string): Promise<Ended> {
  const child = spawn('bash', ['-c', line], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, H: `${process.execPath} ${HARNESS}` },
    timeout: 60_000,
  });
  const err: Buffer[] = [];
  child.stderr.on('data', (data: Buffer) => err.push(data));
  return ended({ child, errText: () => Buffer.concat(err).toString('utf8') });
}

describe('the command line as a process', function () {
  this.timeout(90_000);

  it('the exit code is the command’s, the streams are apart', async () => {
    const { code, out, err } = await run(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect([code, out.toString(), err]).to.deep.equal([7, 'out\n', 'err\n']);
  });

  it('127 where the command does not exist, 126 where it is none', async () => {
    expect((await run(['run', '--', '/nonexistent'])).code).to.equal(127);
    expect((await run(['run', '--', '/etc/passwd'])).code).to.equal(126);
  });

  it('50 MB go in and come out unchanged, through a reader that dawdles', async () => {
    const input = Buffer.alloc(50 * 1024 * 1024);
    for (let at = 0; at < input.length; at += 4) input.writeUInt32LE((at * 2654435761) >>> 0, at);
    const { child } = start(['run', '--', 'cat'], { stdin: 'pipe' });
    child.stdin?.end(input);
    const hash = createHash('sha256');
    let bytes = 0;
    let chunks = 0;
    for await (const chunk of child.stdout!) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (++chunks % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(bytes).to.equal(input.length);
    expect(hash.digest('hex')).to.equal(createHash('sha256').update(input).digest('hex'));
  });

  it('big output into a file is whole', async () => {
    const { out } = await shell(
      "f=$(mktemp); trap 'rm -f $f' EXIT; $H run -- head -c 50000000 /dev/zero > $f; echo $? $(stat -c %s $f)",
    );
    expect(out.toString()).to.equal('0 50000000\n');
  });

  it('what the pipe has no room for yet is not lost at the end', async () => {
    const { out } = await shell('$H run -- head -c 70000 /dev/zero | (sleep 2; wc -c)');
    expect(out.toString()).to.equal('70000\n');
  });

  it('output is held back with its reader: memory stays bounded', async () => {
    const { child } = start(['run', '--', 'head', '-c', '300000000', '/dev/zero']);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const status = (await import('node:fs')).readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const peakKib = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
    expect(peakKib).to.be.below(200_000);
    let bytes = 0;
    for await (const chunk of child.stdout!) bytes += (chunk as Buffer).length;
    expect(bytes).to.equal(300_000_000);
  });

  it('a reader that goes ends it quietly, as `yes | head` does', async () => {
    const { out, err } = await shell('set -o pipefail; $H run -- yes | head -n 2; echo $?');
    expect(out.toString()).to.equal('y\ny\n141\n');
    expect(err).to.equal('');
  });

  it('a full disk is told', async () => {
    const { out, err } = await shell('$H run -- echo x > /dev/full; echo $?');
    expect(out.toString()).to.equal('125\n');
    expect(err).to.match(/^hyperplug: CLI_OUTPUT_FAILED: standard output: ENOSPC/);
  });

  describe('standard input', () => {
    it('of a pipe and of a file reaches the command', async () => {
      const { out } = await shell('echo x | $H run -- cat; echo y > /dev/null; $H run -- cat <<< z');
      expect(out.toString()).to.equal('x\nz\n');
    });
    it('of a loop over a file is the loop’s', async () => {
      const { out } = await shell(
        "while read -r line; do $H run -- cat; echo $line; done < <(:) ; f=$(mktemp); printf '1\\n2\\n3\\n' > $f; while read -r line; do $H run -- cat; echo got $line; done < $f; rm $f",
      );
      expect(out.toString()).to.equal('got 1\ngot 2\ngot 3\n');
    });
    it('of a loop over a pipe is left alone with -n', async () => {
      const { out } = await shell("printf '1\\n2\\n' | while read -r line; do $H run -n -- cat; echo got $line; done");
      expect(out.toString()).to.equal('got 1\ngot 2\n');
    });
    it('that nobody ends does not keep a finished run', async () => {
      const started = start(['run', '--', 'true'], { stdin: 'pipe' });
      expect((await ended(started)).code).to.equal(0);
    });
    it('is not read from where it is not forwarded', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'hyperplug-cli-'));
      try {
        const file = join(directory, 'lines');
        writeFileSync(file, 'first\nsecond\n');
        const fd = openSync(file, 'r');
        readSync(fd, Buffer.alloc(6), 0, 6, null);
        const { out } = await run(['run', '--', 'cat'], { stdin: fd });
        const rest = Buffer.alloc(7);
        expect(readSync(fd, rest, 0, 7, null)).to.equal(7);
        expect([out.toString(), rest.toString()]).to.deep.equal(['', 'second\n']);
        closeSync(fd);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  });

  describe('signals', () => {
    const trapping = "trap 'echo got it; exit 42' INT TERM HUP; echo ready; while :; do sleep 0.05; done";
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      it(`${signal} is the command's`, async () => {
        const { child, errText } = start(['run', '--', 'sh', '-c', trapping]);
        child.stdout?.once('data', () => child.kill(signal));
        const { code, out } = await ended({ child, errText });
        expect(code).to.equal(42);
        expect(out.toString()).to.equal('ready\ngot it\n');
      });
    }
    it('a command that ignores them is given up on with the second: 130', async () => {
      const { child, errText } = start([
        'run',
        '--',
        'sh',
        '-c',
        "trap '' INT; echo ready; while :; do sleep 0.05; done",
      ]);
      child.stdout?.once('data', () => {
        child.kill('SIGINT');
        setTimeout(() => child.kill('SIGINT'), 300);
      });
      expect((await ended({ child, errText })).code).to.equal(130);
    });
    it('during set-up undo it', async () => {
      const started = start(['run', '--', 'true'], { env: { HARNESS_SETUP_MS: '60000' } });
      await until(() => started.errText().includes('setting up'), 'set-up');
      started.child.kill('SIGINT');
      const { code, err } = await ended(started);
      expect(code).to.equal(130);
      expect(err).to.contain('set-up undone');
      expect(err).to.match(/hyperplug: ABORTED: interrupted by SIGINT/);
    });
    it('reach it while its output is held up by a reader', async () => {
      const { child, errText } = start([
        'run',
        '--',
        'sh',
        '-c',
        "trap 'exit 42' TERM; while :; do echo xxxxxxxxxxxxxxxx; done",
      ]);
      await new Promise<void>((resolve) => child.stdout?.once('readable', resolve));
      await new Promise((resolve) => setTimeout(resolve, 300));
      child.kill('SIGTERM');
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect((await ended({ child, errText })).code).to.equal(42);
    });
  });
});
