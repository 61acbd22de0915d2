import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { checkInitramfs, checkKernel } from '../../../../guest/image/configured.js';
import { DebianGuestImageProvider } from '../../../../guest/image/index.js';
import { hasCode } from '../../../../src/core/errors.js';
import type { GuestImage } from '../../../../src/core/guest-image.js';
import type { ProgressSink } from '../../../../src/core/progress.js';
import { DebianToolProvider, findProgram } from '../../../../src/host/debian/tools.js';
import { requireOrSkip } from '../../../support/require.js';

const WORKER = fileURLToPath(new URL('./image-worker.js', import.meta.url));
const AGENT =
  '#include <linux/rtnetlink.h>\n#include <stdio.h>\nint main(void) { puts("agent"); return RTM_NEWLINK == 0; }\n';

/** Paths in a newc archive (cpio(5)): a header of 13 fields of 8 hexadecimal digits, name and content, each filled up to 4. */
function cpioNames(archive: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at + 110 <= archive.length; ) {
    const field = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const [size, nameBytes] = [field(6), field(11)];
    found.push(archive.toString('utf8', at + 110, at + 110 + nameBytes - 1));
    const content = (at + 110 + nameBytes + 3) & ~3;
    at = (content + size + 3) & ~3;
  }
  return found.slice(0, found.indexOf('TRAILER!!!'));
}

/** Builds the image for real, around an agent of three lines. */
describe('guest image, built', function () {
  this.timeout(600_000);
  let folder: string;
  let agentDir: string;
  let first: GuestImage;
  const labels: string[] = [];
  const progress: ProgressSink = {
    begin(label) {
      labels.push(label);
      return { update() {}, done() {}, fail() {} };
    },
  };
  const image = (options: { refresh?: boolean; kernelPath?: string } = {}) => {
    const cacheDir = join(folder, 'cache');
    const tools = new DebianToolProvider({ cacheDir });
    const provider = new DebianGuestImageProvider({ cacheDir, tools, agentDir, keptImages: 2, ...options });
    return provider.image({ signal: AbortSignal.timeout(500_000), progress });
  };
  const images = () => readdirSync(join(folder, 'cache/images')).filter((name) => /^[0-9a-f]{16}$/.test(name));
  const leftovers = () => readdirSync(join(folder, 'cache/images')).filter((name) => name.startsWith('.tmp-'));
  const writeAgent = (text: string) => writeFileSync(join(agentDir, 'main.c'), text);

  before(async function () {
    requireOrSkip(this, (await findProgram('apt-get', process.env.PATH ?? '')) !== undefined, 'no apt');
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-image-'));
    agentDir = join(folder, 'agent');
    mkdirSync(agentDir);
    writeAgent(AGENT);
    try {
      first = await image();
    } catch (error) {
      const offline = /no package list came|Could not resolve|Failed to fetch/.test((error as Error).message);
      requireOrSkip(this, !offline, `Debian's archive cannot be used: ${(error as Error).message}`);
      throw error;
    }
  });
  beforeEach(() => labels.splice(0));
  after(() => folder && rmSync(folder, { recursive: true, force: true }));

  it('has an uncompressed kernel with a PVH entry and an initramfs, readable by anyone', async () => {
    expect(await checkKernel('kernel', first.kernelPath)).to.equal('elf-pvh');
    await checkInitramfs('initramfs', first.initramfsPath);
    const bare = first.bareInitramfsPath as string;
    await checkInitramfs('initramfs', bare);
    // The one differs from the other by the kernel's modules alone.
    const names = (path: string) => new Set(cpioNames(readFileSync(path)));
    const modules = [...names(first.initramfsPath)].filter((name) => !names(bare).has(name));
    expect(modules).to.satisfy((all: string[]) => all.some((name) => name.endsWith('/virtio_net.ko')));
    expect(modules.filter((name) => !/^lib(\/modules(\/|$)|$)/.test(name))).to.deep.equal([]);
    for (const path of [first.kernelPath, first.initramfsPath, bare])
      expect(statSync(path).mode & 0o777).to.equal(0o644);
    expect(first.description).to.match(/^Linux \d\S+ \(Debian \S+\)$/);
    expect(leftovers()).to.deep.equal([]);
  });

  it('is there at once the second time', async () => {
    expect(await image()).to.deep.equal(first);
    expect(labels).to.deep.equal([]);
  });

  it('is built anew, byte for byte the same, when it is lost', async () => {
    const before = readFileSync(first.initramfsPath);
    rmSync(join(first.initramfsPath, '..'), { recursive: true });
    expect(await image()).to.deep.equal(first);
    expect(labels).to.deep.equal(['building the guest image']);
    expect(readFileSync(first.initramfsPath).equals(before)).to.equal(true);
  });

  it('is another one when the agent changes; those of late are kept, older ones go', async () => {
    writeAgent(`${AGENT}// 2\n`);
    const second = await image();
    expect(second.initramfsPath).not.to.equal(first.initramfsPath);
    expect(existsSync(first.initramfsPath)).to.equal(true);
    // Two versions on one cache take turns without building.
    labels.splice(0);
    writeAgent(AGENT);
    expect(await image()).to.deep.equal(first);
    writeAgent(`${AGENT}// 2\n`);
    expect(await image()).to.deep.equal(second);
    expect(labels).to.deep.equal([]);
    writeAgent(`${AGENT}// 3\n`);
    await image();
    expect(existsSync(second.initramfsPath)).to.equal(true);
    expect(existsSync(first.initramfsPath)).to.equal(false);
    expect(images()).to.have.length(2);
    writeAgent(AGENT);
    expect(await image()).to.deep.equal(first);
  });

  it('an agent that does not compile is told with the compiler’s words, and nothing is left', async () => {
    writeAgent('int main(void) { return undeclared_thing; }');
    const before = images();
    try {
      const error = await image().catch((it: unknown) => it);
      expect(hasCode(error, 'IMAGE_BUILD_FAILED')).to.equal(true);
      expect((error as Error).message).to.include('undeclared_thing');
      expect(images()).to.deep.equal(before);
      expect(leftovers()).to.deep.equal([]);
    } finally {
      writeAgent(AGENT);
    }
  });

  it('boots a configured kernel with its own initramfs', async () => {
    const mixed = await image({ kernelPath: first.kernelPath });
    expect(mixed).to.include({ kernelPath: first.kernelPath, initramfsPath: first.initramfsPath });
  });

  it('a refresh that finds nothing newer gives the same image', async () => {
    expect(await image({ refresh: true })).to.deep.equal(first);
    expect(labels[0]).to.equal('reading package lists');
  });

  it('a build killed in the middle is never used; the next one clears up. Of two at once one builds', async () => {
    writeAgent(`${AGENT}// killed\n`);
    const argv = [WORKER, join(folder, 'cache'), agentDir];
    const killed = spawn(process.execPath, [...argv, 'kill'], { stdio: 'ignore' });
    expect(await new Promise((resolve) => killed.once('close', (_code, by) => resolve(by)))).to.equal('SIGKILL');
    expect(leftovers(), 'what the test is about').to.have.length(1);
    const run = () =>
      new Promise<string>((resolve) => {
        const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
        let stdout = '';
        child.stdout.on('data', (chunk) => {
          stdout += chunk;
        });
        child.once('close', () => resolve(stdout));
      });
    const results = (await Promise.all([run(), run()])).map(
      (text) => JSON.parse(text) as { image: GuestImage; labels: string[] },
    );
    expect(results[0]!.image).to.deep.equal(results[1]!.image);
    expect(results.filter((it) => it.labels.includes('building the guest image'))).to.have.length(1);
    expect(leftovers()).to.deep.equal([]);
  });
});
