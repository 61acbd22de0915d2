import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { cli } from '../../support/cli/fake-io.js';
import { requireOrSkip } from '../../support/require.js';

const exec = promisify(execFile);
const installed = (shell: string) =>
  exec(shell, ['-c', ':']).then(
    () => true,
    () => false,
  );

describe('completion', function () {
  this.timeout(20_000);
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'hyperplug-completion-'));
  });
  after(() => rmSync(directory, { recursive: true }));
  const script = async (shell: string) => {
    const { exitCode, out, err } = await cli(['completion', shell]);
    expect([exitCode, err]).to.deep.equal([0, '']);
    const path = join(directory, shell);
    writeFileSync(path, out);
    return { path, out };
  };

  describe('of bash, sourced and asked', () => {
    const complete = async (...words: string[]) => {
      const { path } = await script('bash');
      const program = `set -u
        source "$1"; shift
        complete -p hyperplug >/dev/null
        COMP_WORDS=(hyperplug "$@"); COMP_CWORD=$#
        _hyperplug
        printf '%s\\n' "\${COMPREPLY[@]-}"`;
      const { stdout, stderr } = await exec('bash', ['--norc', '-c', program, 'bash', path, ...words], {
        cwd: directory,
      });
      expect(stderr).to.equal('');
      return stdout.trim().split('\n').sort();
    };
    before(async function () {
      requireOrSkip(this, await installed('bash'), 'bash is needed');
    });

    it('commands and subcommands', async () => {
      expect(await complete('r')).to.deep.equal(['rm', 'route', 'run']);
      expect(await complete('net', 't')).to.deep.equal(['teardown']);
      expect(await complete('')).to.include.members(['run', 'exec', 'config', 'completion']);
      expect(await complete('config', 's')).to.deep.equal(['schema', 'show']);
      expect(await complete('--json', 'config', '')).to.deep.equal(['schema', 'show']);
      expect(await complete('--config', 'run', 'i')).to.deep.equal(['image']);
    });
    it('options of each command, not of others', async () => {
      expect(await complete('run', '--mem')).to.deep.equal(['--memory']);
      expect(await complete('run', '-i', '--env', 'A=1', '--ti')).to.deep.equal(['--timeout']);
      expect(await complete('ps', '--mem')).to.deep.equal(['']);
      expect(await complete('nic', 'set', '--add')).to.deep.equal(['--add-ip']);
      expect(await complete('config', 'show', '--or')).to.deep.equal(['--origin']);
    });
    it('values that are known', async () => {
      expect(await complete('ps', '--log-level', 'd')).to.deep.equal(['debug']);
      expect(await complete('completion', '')).to.deep.equal(['bash', 'fish', 'zsh']);
      expect(await complete('ps', '--config', 'ba')).to.deep.equal(['bash']);
      expect(await complete('run', '--memory', 'x')).to.deep.equal(['']);
    });
    it('nothing of ours once the command has begun', async () => {
      expect(await complete('run', 'ls', '--mem')).to.deep.equal(['']);
      expect(await complete('run', '--', 'bas')).to.include('bash');
    });
  });

  for (const shell of ['zsh', 'fish'] as const) {
    it(`of ${shell} names every command and option`, async () => {
      const { out } = await script(shell);
      for (const word of ['run', 'schema', 'memory', 'no-stdin', 'log-level', 'origin', 'bash']) {
        expect(out).to.contain(word);
      }
      expect(out).to.not.contain('undefined');
    });
    it(`of ${shell} is read by it`, async function () {
      // Where that shell is: nothing else of the project needs it, so its absence fails no CI.
      if (!(await installed(shell))) this.skip();
      await exec(shell, ['-n', (await script(shell)).path]);
    });
  }
});
