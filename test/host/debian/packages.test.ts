import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import type { ProgressSink } from '../../../src/core/progress.js';
import { PackageStore } from '../../../src/host/debian/packages.js';
import { DebianToolProvider, findProgram } from '../../../src/host/debian/tools.js';
import { requireOrSkip } from '../../support/require.js';

const WORKER = fileURLToPath(new URL('./unpack-worker.js', import.meta.url));
const PACKAGE = 'lz4';
const request = { label: 'probe', packages: [PACKAGE], dependencies: false };

/** Real packages from the machine's own sources; one folder for all, so that lists are fetched once. */
describe('Debian packages, unpacked', function () {
  this.timeout(300_000);
  let cacheDir: string;
  const labels: string[] = [];
  const progress: ProgressSink = {
    begin(label) {
      labels.push(label);
      return { update() {}, done() {}, fail() {} };
    },
  };
  const call = () => ({ signal: AbortSignal.timeout(240_000), progress });
  const packagesDir = () => join(cacheDir, 'packages');
  const trees = () => readdirSync(packagesDir()).filter((name) => name.includes('@'));
  const leftovers = () => readdirSync(packagesDir()).filter((name) => name.startsWith('.tmp-'));

  before(async function () {
    const apt = await findProgram('apt-get', process.env.PATH ?? '');
    requireOrSkip(this, apt !== undefined, 'no apt');
    cacheDir = mkdtempSync(join(tmpdir(), 'hyperplug-packages-'));
    const reachable = await new PackageStore(cacheDir).provide(request, call()).then(
      () => true,
      (error: Error) => error.message,
    );
    requireOrSkip(this, reachable === true, `Debian's archive cannot be used: ${reachable}`);
  });
  beforeEach(() => labels.splice(0));
  after(() => cacheDir && rmSync(cacheDir, { recursive: true, force: true }));

  it('a program that PATH lacks is unpacked and runs, and the machine’s apt saw nothing of it', async () => {
    const watched = ['/var/lib/dpkg/status', '/var/lib/apt/lists', '/var/cache/apt'].filter((path) => existsSync(path));
    const before = watched.map((path) => statSync(path).mtimeMs);
    const tool = await new DebianToolProvider({ cacheDir, searchPath: '' }).locate(PACKAGE, call());
    expect(tool).to.include({ name: PACKAGE, origin: 'unpacked' });
    expect(tool.path.startsWith(`${tool.root}/`)).to.equal(true);
    const version = execFileSync(tool.path, ['--version'], { env: { ...process.env, ...tool.env }, encoding: 'utf8' });
    expect(version).to.match(/lz4/i);
    expect(watched.map((path) => statSync(path).mtimeMs)).to.deep.equal(before);
  });

  it('is there at once the second time, without apt', async () => {
    const provider = new DebianToolProvider({ cacheDir, searchPath: '' });
    const first = await provider.locate(PACKAGE, call());
    labels.splice(0);
    const path = process.env.PATH;
    process.env.PATH = `${path}`
      .split(':')
      .filter((folder) => !existsSync(join(folder, 'apt-cache')))
      .join(':');
    try {
      expect(await new PackageStore(cacheDir).provide(request, call())).to.have.property('root');
    } finally {
      process.env.PATH = path;
    }
    expect(await provider.locate(PACKAGE, call())).to.deep.equal(first);
    expect(labels).to.deep.equal([]);
  });

  it('names a package that no source has', async () => {
    const error = await new PackageStore(cacheDir)
      .provide({ label: 'none', packages: ['no-such-package-anywhere'], dependencies: false }, call())
      .catch((it: unknown) => it);
    expect((error as Error).message).to.include('no-such-package-anywhere');
    expect(leftovers()).to.deep.equal([]);
  });

  it('an aborted call leaves nothing half-made, and the next one succeeds', async () => {
    const controller = new AbortController();
    const aborting: ProgressSink = {
      begin: (label) => {
        if (label.startsWith('unpacking')) controller.abort();
        return { update() {}, done() {}, fail() {} };
      },
    };
    const store = new PackageStore(cacheDir);
    const it = { ...request, label: 'aborted' };
    const error = await store.provide(it, { signal: controller.signal, progress: aborting }).catch((e: unknown) => e);
    expect(hasCode(error, 'ABORTED')).to.equal(true);
    expect(trees().filter((name) => name.startsWith('aborted@'))).to.deep.equal([]);
    expect(leftovers()).to.deep.equal([]);
    expect(existsSync((await store.provide(it, call())).root)).to.equal(true);
  });

  it('a process killed in the middle leaves nothing that is taken for whole; the next one clears up and succeeds', async () => {
    const killed = spawn(process.execPath, [WORKER, cacheDir, 'killed', 'unpacking'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const signal = await new Promise((resolve) => killed.once('close', (_code, by) => resolve(by)));
    expect(signal).to.equal('SIGKILL');
    expect(trees().filter((name) => name.startsWith('killed@'))).to.deep.equal([]);
    expect(leftovers(), 'what the test is about').to.have.length(1);
    const { root } = await new PackageStore(cacheDir).provide({ ...request, label: 'killed' }, call());
    expect(existsSync(join(root, 'usr/bin/lz4'))).to.equal(true);
    expect(leftovers()).to.deep.equal([]);
  });

  it('of two processes at once one unpacks, and both have it', async () => {
    const run = () =>
      new Promise<string>((resolve) => {
        const child = spawn(process.execPath, [WORKER, cacheDir, 'both'], { stdio: ['ignore', 'pipe', 'inherit'] });
        let stdout = '';
        child.stdout.on('data', (chunk) => {
          stdout += chunk;
        });
        child.once('close', () => resolve(stdout));
      });
    const [one, other] = (await Promise.all([run(), run()])).map(
      (text) => JSON.parse(text) as { root: string; labels: string[] },
    );
    expect(one!.root).to.equal(other!.root);
    const unpacked = [one!, other!].filter((it) => it.labels.some((label) => label.startsWith('unpacking')));
    expect(unpacked).to.have.length(1);
  });

  it('downloads a damaged file again', async () => {
    const archives = join(cacheDir, 'apt/archives');
    const store = new PackageStore(cacheDir);
    const { packages } = await store.provide(request, call());
    const [lz4] = packages;
    writeFileSync(join(archives, `${lz4!.name}_${lz4!.version}_${lz4!.architecture}.deb`), 'damaged');
    const { root } = await store.provide({ ...request, label: 'damaged' }, call());
    expect(existsSync(join(root, 'usr/bin/lz4'))).to.equal(true);
  });

  it('a refresh that finds nothing newer keeps the tree', async () => {
    const store = new PackageStore(cacheDir);
    const before = await store.provide(request, call());
    const { ino } = statSync(before.root);
    expect(await store.provide({ ...request, refresh: true }, call())).to.deep.equal(before);
    expect(statSync(before.root).ino).to.equal(ino);
  });
});
