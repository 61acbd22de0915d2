import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createHyperplug, type Hyperplug, isExecError, type Pod } from '../../src/index.js';
import { Sandbox } from '../support/sandbox.js';

const FILES = 5_000;
const BIG_BYTES = 100 * 1024 * 1024;

/** Of all names, kinds and contents of a tree. */
async function digest(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }).sort(byPath)) {
    const path = join(entry.parentPath, entry.name);
    hash.update(`${path.slice(root.length)} ${entry.isFile()} ${entry.isDirectory()} ${entry.isSymbolicLink()}\n`);
    if (entry.isFile()) for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
const pathOf = (entry: { parentPath: string; name: string }) => join(entry.parentPath, entry.name);
const byPath = (a: { parentPath: string; name: string }, b: { parentPath: string; name: string }) =>
  pathOf(a) < pathOf(b) ? -1 : 1;

describe('commands and files in a real pod', function () {
  this.timeout(600_000);
  let sandbox: Sandbox;
  let hyperplug: Hyperplug;
  let pod: Pod;

  before(async () => {
    sandbox = await Sandbox.make();
    hyperplug = await createHyperplug({ configPath: sandbox.configPath });
    pod = await hyperplug.createPod({ resource: { memory: 640 }, nicSlots: 0 });
  });
  after(async () => {
    await hyperplug?.close();
    expect(await sandbox.leftovers()).to.deep.equal([]);
    await sandbox.dispose();
  });

  it(`a tree of ${FILES} files and a file of 100 MB go in and out unchanged`, async () => {
    const root = join(sandbox.root, 'tree');
    for (let folder = 0; folder < FILES / 100; folder++) {
      mkdirSync(join(root, `d${folder % 7}`, `sub ${folder}`), { recursive: true });
      for (let file = 0; file < 100; file++) {
        writeFileSync(join(root, `d${folder % 7}`, `sub ${folder}`, `f${file}`), `${folder} ${file}\n`.repeat(file));
      }
    }
    symlinkSync('d0', join(root, 'link'));
    writeFileSync(join(root, 'big'), randomBytes(BIG_BYTES));
    const report = await pod.files.copyIn(root, '/tmp/tree');
    expect(report.files).to.equal(FILES + 1);
    expect(Number((await pod.exec(['sh', '-c', 'find /tmp/tree -type f | wc -l'])).stdout)).to.equal(FILES + 1);
    await pod.exec(['mv', '/tmp/tree', '/tmp/moved']);
    expect(await pod.files.copyOut('/tmp/moved', join(sandbox.root, 'back'))).to.deep.equal(report);
    expect(await digest(join(sandbox.root, 'back'))).to.equal(await digest(root));
    await pod.exec(['rm', '-r', '/tmp/moved']);
  });

  it('output comes line by line, while the command runs', async () => {
    const process = pod.exec(['sh', '-c', 'echo ready; read answer; echo "got $answer"']);
    const { stdin } = process;
    const lines: string[] = [];
    for await (const line of process) {
      lines.push(line);
      if (line === 'ready') stdin.end('the answer\n');
    }
    expect(lines).to.deep.equal(['ready', 'got the answer']);
  });

  it('a command goes into another', async () => {
    const result = await pod.exec(['seq', '1000000']).pipe(pod.exec(['tail', '-n', '1']));
    expect(result.stdout).to.equal('1000000');
    expect((await pod.exec(['yes']).pipe(pod.exec(['head', '-n', '2']))).stdout).to.equal('y\ny');
  });

  it('an abort, a timeout and a reader that leaves end the command in the guest, and the pod goes on', async () => {
    const running = async () => {
      const { stdout } = await pod.exec(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
      return [...stdout.matchAll(/sleep 98765|yes marked/g)].length;
    };
    const controller = new AbortController();
    const aborted = pod.exec(['sleep', '98765'], { signal: controller.signal });
    const told = aborted.catch((error: unknown) => error);
    await aborted.started;
    expect(await running()).to.equal(1);
    controller.abort();
    const error = await told;
    expect(isExecError(error) && [error.code, error.isCanceled, error.signal]).to.deep.equal([
      'ABORTED',
      true,
      'SIGTERM',
    ]);
    const late = await pod.exec(['sleep', '98765'], { timeoutMs: 2_000, reject: false });
    expect(late).to.include({ timedOut: true, failed: true });
    // It does not listen to SIGTERM.
    const stubborn = pod.exec(['sh', '-c', 'trap "" TERM; echo on; while :; do sleep 98765; done'], {
      timeoutMs: 3_000,
      forceKillAfterMs: 300,
      killSignal: 'SIGTERM',
      reject: false,
    });
    expect((await stubborn).timedOut).to.equal(true);
    for await (const line of pod.exec(['yes', 'marked'])) {
      expect(line).to.equal('marked');
      break;
    }
    await pod.exec(['sh', '-c', 'kill -9 $(pidof sleep) || :']);
    expect(await running()).to.equal(0);
    expect((await pod.exec(['echo', 'still here'])).stdout).to.equal('still here');
  });

  it('files with modes and owners', async () => {
    await pod.files.write('/tmp/secret', 'text', { mode: 0o640, user: 'nobody', group: 'users' });
    expect((await pod.exec(['stat', '-c', '%a %U %G', '/tmp/secret'])).stdout).to.equal('640 nobody users');
    expect(await pod.files.read('/tmp/secret', { encoding: 'utf8' })).to.equal('text');
  });
});
