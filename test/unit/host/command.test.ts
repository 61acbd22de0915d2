import { expect } from 'chai';
import { type HyperplugError, hasCode } from '../../../src/core/errors.js';
import { runCommand } from '../../../src/host/command.js';

const signal = new AbortController().signal;

async function failure(promise: Promise<unknown>): Promise<HyperplugError> {
  try {
    await promise;
  } catch (error) {
    return error as HyperplugError;
  }
  throw new Error('it did not reject');
}

describe('runCommand', () => {
  it('gives both streams apart and the exit code', async () => {
    const result = await runCommand([process.execPath, '-e', 'console.log("out"); console.error("err")'], { signal });
    expect(result).to.include({ stdout: 'out\n', stderr: 'err\n', exitCode: 0 });
  });

  it('passes arguments untouched by any shell', async () => {
    const text = '$(id); `id` "a b" \'c\' *';
    const result = await runCommand([process.execPath, '-e', 'process.stdout.write(process.argv[1])', text], {
      signal,
    });
    expect(result.stdout).to.equal(text);
  });

  it('fails with argv, exit code and the end of stderr', async () => {
    const argv = [process.execPath, '-e', 'console.error("it broke"); process.exit(7)'];
    const error = await failure(runCommand(argv, { signal }));
    expect(hasCode(error, 'HOST_COMMAND_FAILED')).to.equal(true);
    expect(error.details).to.deep.include({ argv, exitCode: 7, stderrTail: 'it broke\n' });
    expect(error.message).to.include('exit code 7').and.include('it broke');
  });

  it('takes other exit codes when told to', async () => {
    const result = await runCommand([process.execPath, '-e', 'process.exit(3)'], { signal, exitCodes: [0, 3] });
    expect(result.exitCode).to.equal(3);
  });

  it('names a program that is not there', async () => {
    const error = await failure(runCommand(['/nonexistent/program'], { signal }));
    expect(hasCode(error, 'HOST_TOOL_MISSING')).to.equal(true);
    expect(error.message).to.include('/nonexistent/program');
  });

  it('feeds standard input and reports lines as they come', async () => {
    const seen: string[] = [];
    const result = await runCommand(['cat'], { signal, input: 'a\nb\n', onStdoutLine: (line) => seen.push(line) });
    expect(result.stdout).to.equal('a\nb\n');
    expect(seen).to.deep.equal(['a', 'b']);
  });

  it('ends a command whose output has no end', async () => {
    const error = await failure(runCommand(['cat', '/dev/zero'], { signal, maxOutputBytes: 10_000 }));
    expect(hasCode(error, 'HOST_COMMAND_FAILED')).to.equal(true);
    expect(error.message).to.include('10000 bytes');
  });

  it('ends a late command and says TIMEOUT', async () => {
    const error = await failure(runCommand(['sleep', '60'], { signal, timeoutMs: 50 }));
    expect(hasCode(error, 'TIMEOUT')).to.equal(true);
  });

  it('ends an aborted command and passes the reason on', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const error = await failure(runCommand(['sleep', '60'], { signal: controller.signal }));
    expect(hasCode(error, 'ABORTED')).to.equal(true);
  });

  it('does not start with a signal that has fired', async () => {
    const error = await failure(runCommand(['/nonexistent/program'], { signal: AbortSignal.abort() }));
    expect(hasCode(error, 'ABORTED')).to.equal(true);
  });
});
