import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { hasCode } from '../../../src/core/errors.js';
import { silentProgress } from '../../../src/core/progress.js';
import type { RootSource } from '../../../src/core/rootfs.js';
import { DebianToolProvider } from '../../../src/host/debian/tools.js';
import { defaultDirectories } from '../../../src/host/paths.js';
import { HostRootImages } from '../../../src/host/rootfs/provider.js';
import { tarOf, writeOciLayout } from '../../support/oci-layout.js';
import { requireOrSkip } from '../../support/require.js';

describe('root images', function () {
  this.timeout(120_000);
  const tools = new DebianToolProvider({ cacheDir: defaultDirectories().cacheDirectory });
  let folder: string;
  let provider: HostRootImages;
  const at = (name: string) => join(folder, name);
  const options = (signal = AbortSignal.timeout(60_000)) => ({ signal, progress: silentProgress });
  const cached = () => readdirSync(at('cache/roots')).filter((name) => !name.startsWith('.'));

  before(async function () {
    const found = await tools.locate('sqfstar', options()).catch(() => undefined);
    requireOrSkip(this, found !== undefined, 'squashfs-tools are not installed, nor to be had');
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-roots-'));
    provider = new HostRootImages({ cacheDir: at('cache'), tools });
    mkdirSync(at('tree/etc'), { recursive: true });
    writeFileSync(at('tree/etc/name'), 'content');
    symlinkSync('/etc/name', at('tree/link'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const refused = async (source: RootSource, words: RegExp, code = 'ROOTFS_INVALID') => {
    const error = await provider.rootImage(source, options()).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(hasCode(error, code as never), String(error)).to.equal(true);
    expect((error as Error).message).to.match(words);
    const left = readdirSync(folder).includes('cache') ? readdirSync(at('cache/roots')) : [];
    expect(left, 'what is half made').to.deep.equal([]);
  };

  it('one image for one source, however many ask at once, in a folder that only we can enter', async () => {
    const source = { kind: 'directory', path: at('tree') } as const;
    const images = await Promise.all(Array.from({ length: 5 }, () => provider.rootImage(source, options())));
    expect(new Set(images.map(({ path }) => path)).size).to.equal(1);
    expect(cached()).to.have.length(1);
    const [image] = images;
    expect(statSync(dirname(image!.path)).mode & 0o777).to.equal(0o700);
    expect(readFileSync(image!.path).toString('latin1', 0, 4)).to.equal('hsqs');
    writeFileSync(at('tree/etc/name'), 'changed');
    const other = await provider.rootImage(source, options());
    expect(other.digest).not.to.equal(image!.digest);
  });

  it('archives in every compression make the same image, and nothing of them reaches the host', async () => {
    writeFileSync(
      at('plain.tar'),
      await tarOf([
        { path: 'a', content: 'x'.repeat(100_000) },
        { path: '/abs', content: 'y' },
      ]),
    );
    const sizes = new Set<number>();
    for (const [suffix, argv] of Object.entries({
      tar: ['cat'],
      gz: ['gzip', '-c'],
      xz: ['xz', '-c'],
      zst: ['zstd', '-c', '-q'],
    })) {
      if (spawnSync(argv[0]!, ['--version']).status !== 0 && suffix !== 'tar') continue;
      const path = at(`archive-${suffix}`);
      writeFileSync(path, execFileSync(argv[0]!, argv.slice(1), { input: readFileSync(at('plain.tar')) }));
      const { path: image } = await provider.rootImage({ kind: 'archive', path }, options());
      sizes.add(statSync(image).size);
    }
    expect(sizes.size).to.equal(1);
    expect(readdirSync('/').includes('abs')).to.equal(false);
  });

  it('refuses hostile and broken archives, and leaves nothing', async () => {
    const cases: [string, Buffer, RegExp][] = [
      ['upwards', await tarOf([{ path: '../../tmp/x', content: 'x' }]), /leads upwards/],
      ['hard', await tarOf([{ path: 'x', type: 'hardlink', target: '/etc/shadow' }]), /no file/],
      ['cut', (await tarOf([{ path: 'x', content: 'x'.repeat(5000) }])).subarray(0, 2000), /cut off/],
      ['noise', Buffer.alloc(4096, 0x5a), /archive/],
      ['gzip', Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(600, 7)]), /./],
      ['xz', Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), Buffer.alloc(600, 7)]), /ended with/],
    ];
    for (const [name, content, words] of cases) {
      writeFileSync(at(name), content);
      await refused({ kind: 'archive', path: at(name) }, words);
    }
    await refused({ kind: 'archive', path: at('none') }, /cannot be read/, 'ROOTFS_NOT_FOUND');
    await refused({ kind: 'directory', path: at('none') }, /cannot be read/, 'ROOTFS_NOT_FOUND');
  });

  it('an archive that grows beyond the limits is given up', async () => {
    provider = new HostRootImages({ cacheDir: at('cache'), tools, limits: { maxEntries: 10, maxBytes: 1000 } });
    writeFileSync(at('large'), await tarOf([{ path: 'x', content: 'x'.repeat(2000) }]));
    await refused({ kind: 'archive', path: at('large') }, /more than 1000 bytes/);
  });

  it('an OCI layout: digests are verified, names chosen, and what is no image refused', async () => {
    const layer = await tarOf([{ path: 'a', content: 'x' }]);
    const { digest } = writeOciLayout(at('oci'), [layer], { Entrypoint: ['/bin/x'], Env: ['A=b'] });
    const image = await provider.rootImage({ kind: 'oci-layout', path: at('oci') }, options());
    expect(image.digest).to.equal(digest);
    expect(image.config).to.deep.include({ entrypoint: ['/bin/x'], env: { A: 'b' }, workingDirectory: '/' });
    await provider.prune(options());
    await refused(
      { kind: 'oci-layout', path: at('oci'), reference: 'other' },
      /expected one image called other, got latest/,
    );
    await refused({ kind: 'oci-layout', path: at('tree') }, /oci-layout/, 'ROOTFS_NOT_FOUND');
    const blobs = at('oci/blobs/sha256');
    const largest = readdirSync(blobs).sort(
      (a, b) => statSync(join(blobs, b)).size - statSync(join(blobs, a)).size,
    )[0]!;
    for (const name of readdirSync(blobs)) {
      const path = join(blobs, name);
      const intact = readFileSync(path);
      const damaged = Buffer.from(intact);
      damaged[damaged.length - 1]! ^= 1;
      writeFileSync(path, damaged);
      await refused({ kind: 'oci-layout', path: at('oci') }, /digest/);
      truncateSync(path, intact.length - 1);
      await refused({ kind: 'oci-layout', path: at('oci') }, /bytes/);
      writeFileSync(path, intact);
    }
    expect(largest).to.match(/^[0-9a-f]{64}$/);
    const index = JSON.parse(readFileSync(at('oci/index.json'), 'utf8'));
    index.manifests[0].digest = 'sha256:../../../../etc/passwd';
    writeFileSync(at('oci/index.json'), JSON.stringify(index));
    await refused({ kind: 'oci-layout', path: at('oci') }, /digest/);
  });

  it('an OCI layout whose layers are not those that its configuration tells of is refused', async () => {
    const layer = await tarOf([{ path: 'a', content: 'x' }]);
    const behind = Buffer.concat([layer, Buffer.alloc(4096)]);
    const other = `sha256:${'0'.repeat(64)}`;
    for (const [name, layers, ids, message] of [
      ['another', [layer], [other], /uncompressed its digest is sha256:[0-9a-f]{64}, its image says sha256:0{64}/],
      ['too-many', [layer, layer], [other], /tells of 1 layers, its manifest of 2/],
    ] as const) {
      writeOciLayout(at(name), layers, {}, [...ids]);
      await refused({ kind: 'oci-layout', path: at(name) }, message);
    }
    writeOciLayout(at('padded'), [behind], {});
    await provider.rootImage({ kind: 'oci-layout', path: at('padded') }, options());
  });

  it('half-made images are never used, and go with the next build', async () => {
    const source = { kind: 'directory', path: at('tree') } as const;
    const image = await provider.rootImage(source, options());
    const key = cached()[0]!;
    rmSync(join(at('cache/roots'), key), { recursive: true });
    mkdirSync(at(`cache/roots/.tmp-${key}-dead`));
    writeFileSync(at(`cache/roots/.tmp-${key}-dead/root.squashfs`), 'half');
    mkdirSync(join(at('cache/roots'), key));
    writeFileSync(image.path, 'without its source');
    const again = await provider.rootImage(source, options());
    expect(readFileSync(again.path).toString('latin1', 0, 4)).to.equal('hsqs');
    expect(readdirSync(at('cache/roots'))).to.deep.equal([key]);
  });

  it('a build that is aborted leaves nothing, and the next succeeds', async () => {
    const source = { kind: 'directory', path: at('tree') } as const;
    const error = await provider.rootImage(source, options(AbortSignal.abort())).catch((reason: unknown) => reason);
    expect(hasCode(error, 'ABORTED')).to.equal(true);
    await provider.rootImage(source, options());
  });

  it('prune removes what is not kept, not used and not open', async () => {
    const one = await provider.rootImage({ kind: 'directory', path: at('tree') }, options());
    expect((await provider.prune({ ...options(), unusedForMs: 3_600_000 })).removed).to.deep.equal([]);
    expect((await provider.prune({ ...options(), keep: [one.digest] })).removed).to.deep.equal([]);
    const held = openSync(one.path, 'r');
    expect((await provider.prune(options())).removed).to.deep.equal([]);
    closeSync(held);
    const asked = { removed: [one.digest], freedBytes: one.sizeBytes };
    expect(await provider.prune({ ...options(), dryRun: true })).to.deep.equal(asked);
    const { removed, freedBytes } = await provider.prune(options());
    expect(removed).to.deep.equal([one.digest]);
    expect(freedBytes).to.equal(one.sizeBytes);
    expect(readdirSync(at('cache/roots'))).to.deep.equal([]);
  });

  it('a new disk has a file system; one that is there is left alone', async () => {
    const request = { path: at('disk'), sizeMib: 16, fsType: 'ext4' } as const;
    await Promise.all([provider.createDisk(request, options()), provider.createDisk(request, options())]);
    expect(statSync(at('disk')).size).to.equal(16 << 20);
    expect(readFileSync(at('disk')).readUInt16LE(0x438), "ext4's magic").to.equal(0xef53);
    writeFileSync(at('disk'), 'mine');
    await provider.createDisk(request, options());
    expect(readFileSync(at('disk'), 'utf8')).to.equal('mine');
    const error = await provider
      .createDisk({ ...request, path: at('small'), sizeMib: 1 }, options())
      .catch((reason: unknown) => reason);
    expect(hasCode(error, 'ROOTFS_INVALID')).to.equal(true);
    expect(readdirSync(folder).sort()).to.deep.equal(['disk', 'tree']);
  });
});
