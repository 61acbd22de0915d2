import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import type { TarHeader } from '../../../../../src/core/tar/header.js';
import { type PackEntry, pack } from '../../../../../src/core/tar/pack.js';
import { hostGuest } from '../../../../support/host-guest.js';
import { rejects } from '../../../../support/rejects.js';

/** Path → what it is, for comparing trees. */
function tree(root: string, at = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(root, at)).sort()) {
    const path = at === '' ? name : `${at}/${name}`;
    const stats = lstatSync(join(root, path));
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isSymbolicLink()) found[path] = `-> ${readlinkSync(join(root, path))}`;
    else if (stats.isDirectory()) Object.assign(found, { [`${path}/`]: mode }, tree(root, path));
    else found[path] = `${mode} ${readFileSync(join(root, path), 'latin1')}`;
  }
  return found;
}

const header = (path: string, changes: Partial<TarHeader> = {}): PackEntry => ({
  path,
  type: 'file',
  mode: 0o644,
  sizeBytes: 0,
  modifiedAt: 1_000_000,
  uid: 0,
  gid: 0,
  target: '',
  ...changes,
});
const file = (path: string, text: string, mode = 0o644): PackEntry => ({
  ...header(path, { mode, sizeBytes: Buffer.byteLength(text) }),
  content: (async function* () {
    yield Buffer.from(text);
  })(),
});

describe('copying files', () => {
  let root: string;
  let host: string;
  let guest: string;
  const { files, argvs } = hostGuest();

  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'hp-copy-')));
    host = join(root, 'host');
    guest = join(root, 'guest');
    mkdirSync(host);
    mkdirSync(guest);
    mkdirSync(join(host, 'src/deep/er'), { recursive: true });
    writeFileSync(join(host, 'src/a'), 'A');
    writeFileSync(join(host, 'src/deep/er/run'), '#!/bin/sh\n');
    chmodSync(join(host, 'src/deep/er/run'), 0o755);
    chmodSync(join(host, 'src/deep'), 0o700);
    symlinkSync('../a', join(host, 'src/deep/up'));
    symlinkSync('/nowhere', join(host, 'src/out'));
    utimesSync(join(host, 'src/a'), 1_000_000, 1_000_000);
  });
  afterEach(() => {
    expect(readdirSync(host).filter((name) => name.startsWith('.'))).to.deep.equal([]);
    rmSync(root, { recursive: true });
  });

  it("what copies is root's, whoever a container's programs are", async () => {
    const { files, requests } = hostGuest();
    await files.copyIn(join(host, 'src'), guest, { container: 'web' });
    await files.copyOut(join(guest, 'src'), join(host, 'back'), { container: 'web' });
    expect(requests.map(({ argv }) => argv[0])).to.include('tar');
    expect(requests.map(({ user, container }) => ({ user, container }))).to.deep.equal(
      requests.map(() => ({ user: '0', container: 'web' })),
    );
  });
  for (const [where, programs] of [
    ['GNU tar', {}],
    ['busybox', { tar: ['busybox', 'tar'], test: ['busybox', 'test'] }],
  ] as const) {
    it(`a tree goes in and out unchanged, through ${where}`, async () => {
      const { files } = hostGuest(programs);
      const report = await files.copyIn(join(host, 'src'), join(guest, 'new'));
      expect(report).to.deep.equal({ files: 2, directories: 3, links: 2, bytes: 11, skipped: [] });
      expect(tree(join(guest, 'new'))).to.deep.equal(tree(join(host, 'src')));
      expect(lstatSync(join(guest, 'new/a')).mtimeMs).to.equal(1_000_000_000);
      expect(await files.copyOut(join(guest, 'new'), join(host, 'back'))).to.deep.equal(report);
      expect(tree(join(host, 'back'))).to.deep.equal(tree(join(host, 'src')));
      expect(lstatSync(join(host, 'back/a')).mtimeMs).to.equal(1_000_000_000);
    });
  }

  it('goes where cp would put it', async () => {
    const names = (path: string) => readdirSync(path).sort();
    await files.copyIn(join(host, 'src'), guest);
    expect(names(join(guest, 'src'))).to.deep.equal(['a', 'deep', 'out']);
    await files.copyIn(`${host}/src/.`, join(guest, 'contents'));
    expect(names(join(guest, 'contents'))).to.deep.equal(['a', 'deep', 'out']);
    await files.copyIn(`${host}/src/.`, `${guest}/.`);
    expect(names(guest)).to.deep.equal(['a', 'contents', 'deep', 'out', 'src']);
    await files.copyIn(join(host, 'src/a'), join(guest, 'b'));
    await files.copyIn(join(host, 'src/a'), join(guest, 'src/deep'));
    expect([readFileSync(join(guest, 'b'), 'utf8'), readFileSync(join(guest, 'src/deep/a'), 'utf8')]).to.deep.equal([
      'A',
      'A',
    ]);

    await files.copyOut(join(guest, 'b'), join(host, 'c'));
    await files.copyOut(join(guest, 'b'), host);
    expect([readFileSync(join(host, 'c'), 'utf8'), readFileSync(join(host, 'b'), 'utf8')]).to.deep.equal(['A', 'A']);
    mkdirSync(join(host, 'there'));
    await files.copyOut(join(guest, 'src'), `${host}/there/`);
    expect(names(join(host, 'there/src'))).to.deep.equal(['a', 'deep', 'out']);
    await files.copyOut(`${guest}/src/deep/.`, join(host, 'deep'));
    expect(names(join(host, 'deep'))).to.deep.equal(['a', 'er', 'up']);
    await files.copyOut(`${guest}/src/deep/.`, join(host, 'there'));
    expect(names(join(host, 'there'))).to.deep.equal(['a', 'er', 'src', 'up']);
    writeFileSync(join(host, 'c'), 'old');
    await files.copyOut(join(guest, 'b'), join(host, 'c'));
    expect(readFileSync(join(host, 'c'), 'utf8')).to.equal('A');
  });

  it('names that look like options or hold odd characters are names', async () => {
    for (const name of ['-rf', 'new\nline', 'é ü', '*']) {
      writeFileSync(join(host, name), name);
      await files.copyIn(join(host, name), guest);
      await files.copyOut(join(guest, name), join(host, 'back'));
      expect(readFileSync(join(host, 'back'), 'utf8')).to.equal(name);
    }
  });

  it('a link is copied as one, and followed where that is asked for', async () => {
    symlinkSync('src/a', join(host, 'link'));
    await files.copyIn(join(host, 'link'), join(guest, 'link'));
    expect(readlinkSync(join(guest, 'link'))).to.equal('src/a');
    await files.copyIn(join(host, 'link'), join(guest, 'file'), { followLink: true });
    expect(readFileSync(join(guest, 'file'), 'utf8')).to.equal('A');
    symlinkSync('file', join(guest, 'to-file'));
    await files.copyOut(join(guest, 'to-file'), join(host, 'got'));
    expect(readlinkSync(join(host, 'got'))).to.equal('file');
    rmSync(join(host, 'got'));
    await files.copyOut(join(guest, 'to-file'), join(host, 'got'), { followLink: true });
    expect(readFileSync(join(host, 'got'), 'utf8')).to.equal('A');
  });

  it('what is no file is skipped, and told', async () => {
    execFileSync('mkfifo', [join(host, 'src/pipe'), join(guest, 'pipe')]);
    expect((await files.copyIn(join(host, 'src'), guest)).skipped).to.deep.equal([join(host, 'src/pipe')]);
    writeFileSync(join(guest, 'x'), 'x');
    const report = await files.copyOut(`${guest}/.`, join(host, 'back'));
    expect(report.skipped).to.deep.equal(['./pipe']);
    expect(existsSync(join(host, 'back/x'))).to.equal(true);
  });

  it('what has a name that is not UTF-8, or leads to one, is left out by name, and nothing of it becomes another', async () => {
    const odd = (folder: string, end: number) => Buffer.concat([Buffer.from(`${folder}/odd`), Buffer.from([end])]);
    for (const folder of [join(host, 'src'), guest]) {
      mkdirSync(folder, { recursive: true });
      for (const end of [0xfe, 0xff]) writeFileSync(odd(folder, end), String(end));
      symlinkSync(Buffer.from([0xfe]), join(folder, 'link'));
    }
    const there = await files.copyIn(`${join(host, 'src')}/.`, join(guest, 'in'));
    expect([...there.skipped].sort()).to.deep.equal(
      ['link', 'odd\uFFFD', 'odd\uFFFD'].map((name) => join(host, 'src', name)),
    );
    const back = await files.copyOut(`${guest}/.`, join(host, 'back'));
    expect([...back.skipped].sort()).to.deep.equal(['./link', './odd\uFFFD', './odd\uFFFD']);
    for (const copy of [join(guest, 'in'), join(host, 'back')]) {
      expect(readdirSync(copy).filter((name) => /odd|link/.test(name))).to.deep.equal([]);
    }
  });

  it('hard links of the guest stay such', async () => {
    mkdirSync(join(guest, 'd'));
    writeFileSync(join(guest, 'd/a'), 'same');
    linkSync(join(guest, 'd/a'), join(guest, 'd/b'));
    await files.copyOut(join(guest, 'd'), join(host, 'd'));
    expect(lstatSync(join(host, 'd/a')).ino).to.equal(lstatSync(join(host, 'd/b')).ino);
  });

  it('says what is wrong, in tar’s words, and leaves nothing', async () => {
    await rejects(files.copyOut(join(guest, 'nothing'), join(host, 'x')), 'POD_COPY_FAILED', /No such file/);
    await rejects(files.copyIn(join(host, 'nothing'), guest), 'HOST_IO', /ENOENT/);
    await rejects(files.copyIn(join(host, 'src'), join(guest, 'no/such')), 'POD_COPY_FAILED', /No such file/);
    await rejects(files.copyOut(guest, join(host, 'no/such')), 'HOST_IO', /ENOENT/);
    await rejects(files.copyIn(join(host, 'src/a'), `${guest}/new/`), 'POD_COPY_FAILED', 'expected a directory');
    await rejects(files.copyIn(`${host}/src/a/`, guest), 'POD_COPY_FAILED', 'expected a directory');
    writeFileSync(join(guest, 'f'), '');
    await rejects(files.copyOut(join(guest, 'f'), `${host}/new/`), 'POD_COPY_FAILED', 'expected a directory');
    await rejects(files.copyOut(guest, join(host, 'src/a')), 'POD_COPY_FAILED', 'expected a directory');
    mkdirSync(join(host, 'f'));
    await rejects(files.copyOut(join(guest, 'f'), host), 'POD_COPY_FAILED', 'expected a file');
    expect(existsSync(join(host, 'x'))).to.equal(false);
  });

  it('ends when it is told to', async () => {
    const { files } = hostGuest({ tar: ['sh', '-c', 'exec sleep 100'] });
    const copy = files.copyOut(guest, join(host, 'x'), { signal: AbortSignal.timeout(50) });
    await rejects(copy, 'TIMEOUT');
  });

  it('streams are archives', async () => {
    const archive = await buffer(files.getArchive(guest));
    expect(execFileSync('tar', ['t'], { input: archive }).toString()).to.equal('./guest/\n');
    const one = async function* () {
      yield file('x/y', 'deep');
    };
    await files.putArchive(guest, pack(one()));
    expect(readFileSync(join(guest, 'x/y'), 'utf8')).to.equal('deep');
    await rejects(files.putArchive(join(guest, 'none'), pack(one())), 'POD_COPY_FAILED');
  });

  describe('without tar in the guest', () => {
    const bare = hostGuest({ tar: null, test: null });
    it('one file goes through the agent', async () => {
      await bare.files.copyIn(join(host, 'src/deep/er/run'), join(guest, 'run'));
      expect(lstatSync(join(guest, 'run')).mode & 0o777).to.equal(0o755);
      await bare.files.copyOut(join(guest, 'run'), join(host, 'run'));
      expect(readFileSync(join(host, 'run'), 'utf8')).to.equal('#!/bin/sh\n');
    });
    it('a tree is refused with the reason', async () => {
      await rejects(bare.files.copyIn(join(host, 'src'), guest), 'POD_COPY_FAILED', 'no tar');
    });
  });

  describe('out of a hostile guest', () => {
    /** A guest whose tar sends these entries, whatever it is asked for. */
    async function sends(...entries: PackEntry[]) {
      const path = join(root, 'evil.tar');
      writeFileSync(
        path,
        await buffer(
          pack(
            (async function* () {
              yield* entries;
            })(),
          ),
        ),
      );
      return hostGuest({ tar: ['sh', '-c', `exec cat ${path}`] }).files;
    }
    const outside = () => join(root, 'secret');
    beforeEach(() => writeFileSync(outside(), 'mine'));
    afterEach(() => {
      expect(readFileSync(outside(), 'utf8')).to.equal('mine');
      expect(lstatSync(outside()).mode & 0o777).to.equal(0o644);
      expect(readdirSync(root).sort()).to.deep.equal(['evil.tar', 'guest', 'host', 'secret']);
    });

    it('names that lead outside are refused', async () => {
      for (const name of ['d/../../../secret', '/secret', '../secret', 'd/..', 'other/file']) {
        const files = await sends(header('d', { type: 'directory' }), file(name, 'evil'));
        await rejects(files.copyOut('/d', join(host, 'got')), 'POD_COPY_FAILED', 'archive');
        await rejects(files.copyOut('/d', host), 'POD_COPY_FAILED', 'archive');
        expect(existsSync(join(host, 'got'))).to.equal(false);
      }
    });
    it('a link on the way is not followed', async () => {
      const link = header('d/link', { type: 'symlink', target: root });
      const files = await sends(header('d', { type: 'directory', mode: 0o755 }), link, file('d/link/secret', 'evil'));
      await rejects(files.copyOut('/d', join(host, 'got')), 'POD_COPY_FAILED', 'symbolic link');
    });
    it('a link at the place of a file is replaced, not written through', async () => {
      const files = await sends(
        header('d', { type: 'directory', mode: 0o755 }),
        header('d/f', { type: 'symlink', target: outside() }),
        file('d/f', 'evil', 0o666),
      );
      await files.copyOut('/d', join(host, 'got'));
      expect(tree(join(host, 'got'))).to.deep.equal({ f: '666 evil' });
    });
    it('a link of the host in the destination is not followed either', async () => {
      mkdirSync(join(host, 'd'));
      symlinkSync(root, join(host, 'd/sub'));
      symlinkSync(outside(), join(host, 'd/f'));
      const files = await sends(header('d', { type: 'directory', mode: 0o755 }), file('d/f', 'new'));
      await files.copyOut('/d', host);
      expect(readFileSync(join(host, 'd/f'), 'utf8')).to.equal('new');
      const worse = await sends(header('d', { type: 'directory' }), file('d/sub/secret', 'evil'));
      await rejects(worse.copyOut('/d', host), 'POD_COPY_FAILED', 'symbolic link');
    });
    it('a hard link leads to what came with it alone', async () => {
      for (const target of [outside(), '../secret', 'd/none']) {
        const files = await sends(
          header('d', { type: 'directory' }),
          header('d/hard', { type: 'hardlink', target }),
          file('d/hard', 'evil'),
        );
        await rejects(files.copyOut('/d', join(host, 'got')), 'POD_COPY_FAILED');
      }
      const through = await sends(
        header('d', { type: 'directory', mode: 0o755 }),
        header('d/link', { type: 'symlink', target: outside() }),
        header('d/hard', { type: 'hardlink', target: 'd/link' }),
      );
      await rejects(through.copyOut('/d', join(host, 'got')), 'POD_COPY_FAILED', 'hard link');
    });
    it('a directory is not replaced by a link', async () => {
      const files = await sends(
        header('d', { type: 'directory' }),
        header('d/sub', { type: 'directory' }),
        header('d/sub', { type: 'symlink', target: root }),
        file('d/sub/secret', 'evil'),
      );
      await rejects(files.copyOut('/d', join(host, 'got')), 'POD_COPY_FAILED', 'directory');
    });
    it('no setuid bits and no devices come', async () => {
      const files = await sends(
        header('d', { type: 'directory', mode: 0o7755 }),
        file('d/suid', 'x', 0o6755),
        header('d/null', { type: 'character-device' }),
      );
      const report = await files.copyOut('/d', join(host, 'got'));
      expect(report.skipped).to.deep.equal(['d/null']);
      expect(tree(host)).to.deep.include({ 'got/': '755', 'got/suid': '755 x' });
    });
    it('no more bytes and files come than are allowed', async () => {
      const files = await sends(header('d', { type: 'directory' }), file('d/a', '12345'), file('d/b', '67890'));
      await rejects(files.copyOut('/d', join(host, 'got'), { maxBytes: 9 }), 'POD_COPY_FAILED', 'maxBytes');
      await rejects(files.copyOut('/d', join(host, 'got'), { maxEntries: 2 }), 'POD_COPY_FAILED', 'maxEntries');
      expect(existsSync(join(host, 'got'))).to.equal(false);
    });
  });

  it('gives programs nothing but argv', () => {
    expect(argvs.every((argv) => !argv.includes('-c') || argv[0] === 'tar')).to.equal(true);
  });
});
