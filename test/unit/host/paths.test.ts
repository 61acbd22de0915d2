import { chmodSync, existsSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { defaultDirectories, ensureDirectories, ensureDirectory } from '../../../src/host/paths.js';
import { throws } from '../../support/rejects.js';
import { tempDirs } from '../../support/temp-dir.js';

const uid = process.getuid!();

describe('defaultDirectories', () => {
  const temp = tempDirs();

  it("are the system's for root, whatever XDG says", () => {
    const env = { XDG_STATE_HOME: '/x', XDG_RUNTIME_DIR: '/x', XDG_CACHE_HOME: '/x' };
    expect(defaultDirectories({ env, uid: 0, home: '/root' })).to.deep.equal({
      stateDirectory: '/var/lib/hyperplug',
      runtimeDirectory: '/run/hyperplug',
      cacheDirectory: '/var/cache/hyperplug',
    });
  });

  it('are in the home directory and /tmp for a user without XDG variables', () => {
    expect(defaultDirectories({ env: {}, uid: 1234, home: '/home/u' })).to.deep.equal({
      stateDirectory: '/home/u/.local/state/hyperplug',
      runtimeDirectory: '/tmp/hyperplug-1234',
      cacheDirectory: '/home/u/.cache/hyperplug',
    });
  });

  it('follow absolute XDG variables and ignore relative ones', () => {
    const env = { XDG_STATE_HOME: '/s', XDG_CACHE_HOME: 'c' };
    const directories = defaultDirectories({ env, uid: 1234, home: '/home/u' });
    expect(directories).to.include({ stateDirectory: '/s/hyperplug', cacheDirectory: '/home/u/.cache/hyperplug' });
  });

  it("take an XDG_RUNTIME_DIR only if it is there and the user's own", () => {
    if (uid === 0) {
      // As root the directory belongs to uid 0, so ask as somebody else.
      const env = { XDG_RUNTIME_DIR: temp() };
      expect(defaultDirectories({ env, uid: 1234, home: '/h' }).runtimeDirectory).to.equal('/tmp/hyperplug-1234');
    } else {
      const env = { XDG_RUNTIME_DIR: temp() };
      expect(defaultDirectories({ env, uid, home: '/h' }).runtimeDirectory).to.equal(
        `${env.XDG_RUNTIME_DIR}/hyperplug`,
      );
    }
    const missing = { XDG_RUNTIME_DIR: '/nonexistent/run' };
    expect(defaultDirectories({ env: missing, uid: 1234, home: '/h' }).runtimeDirectory).to.equal(
      '/tmp/hyperplug-1234',
    );
  });
});

describe('ensureDirectory', () => {
  const temp = tempDirs();
  const mode = (path: string) => lstatSync(path).mode & 0o777;

  it('makes it and its parents, private, and is content with what it made', () => {
    const path = join(temp(), 'a/b/c');
    ensureDirectory(path, 0o700);
    ensureDirectory(path, 0o700);
    expect(mode(path)).to.equal(0o700);
  });

  it('makes all three', () => {
    const root = temp();
    const directories = {
      stateDirectory: join(root, 's'),
      runtimeDirectory: join(root, 'r'),
      cacheDirectory: join(root, 'c'),
    };
    ensureDirectories(directories);
    expect([mode(join(root, 's')), mode(join(root, 'r'))]).to.deep.equal([0o700, 0o700]);
    expect(mode(join(root, 'c')) & ~0o755).to.equal(0);
  });

  it('refuses one that others may enter, and leaves it so', () => {
    const path = join(temp(), 'open');
    mkdirSync(path);
    chmodSync(path, 0o755);
    throws(() => ensureDirectory(path, 0o700), 'HOST_PERMISSION', path, 'mode 0700', '0755', `chmod 0700 ${path}`);
    expect(mode(path)).to.equal(0o755);
    ensureDirectory(path, 0o755);
  });

  it('refuses a link, even to a directory of our own', () => {
    const root = temp();
    mkdirSync(join(root, 'real'), { mode: 0o700 });
    symlinkSync(join(root, 'real'), join(root, 'link'));
    throws(
      () => ensureDirectory(join(root, 'link'), 0o700),
      'HOST_PERMISSION',
      'expected a directory',
      'a symbolic link',
    );
    symlinkSync(join(root, 'nowhere'), join(root, 'dangling'));
    throws(() => ensureDirectory(join(root, 'dangling'), 0o700), 'HOST_PERMISSION', 'a symbolic link');
    expect(existsSync(join(root, 'nowhere'))).to.equal(false);
  });

  it('refuses a file', () => {
    const path = join(temp(), 'file');
    writeFileSync(path, '');
    throws(() => ensureDirectory(path, 0o700), 'HOST_PERMISSION', 'expected a directory', 'no directory');
    throws(() => ensureDirectory(join(path, 'x'), 0o700), 'HOST_PERMISSION', join(path, 'x'));
  });

  it("refuses another user's", () => {
    const path = join(temp(), 'theirs');
    mkdirSync(path, { mode: 0o700 });
    throws(() => ensureDirectory(path, 0o700, uid + 1), 'HOST_PERMISSION', `user ${uid + 1}`, `one of user ${uid}`);
  });

  it('takes no relative path', () => {
    expect(() => ensureDirectory('x', 0o700)).to.throw(TypeError, 'absolute');
  });
});
