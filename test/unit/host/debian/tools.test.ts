import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import { silentProgress } from '../../../../src/core/progress.js';
import { qemuFirmwareArgs } from '../../../../src/host/debian/firmware.js';
import { DebianToolProvider, findProgram } from '../../../../src/host/debian/tools.js';

describe('DebianToolProvider', () => {
  let folder: string;
  const options = { signal: new AbortController().signal, progress: silentProgress };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-tools-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('takes the first executable file in PATH; not a folder, not a file that cannot be run', async () => {
    for (const name of ['a', 'b', 'c']) mkdirSync(join(folder, name));
    mkdirSync(join(folder, 'a', 'probe-tool'));
    writeFileSync(join(folder, 'b', 'probe-tool'), '');
    writeFileSync(join(folder, 'c', 'probe-tool'), '');
    chmodSync(join(folder, 'c', 'probe-tool'), 0o755);
    const searchPath = ['a', 'b', 'c'].map((name) => join(folder, name)).join(':');
    expect(await findProgram('probe-tool', searchPath)).to.equal(join(folder, 'c', 'probe-tool'));
    const provider = new DebianToolProvider({ cacheDir: join(folder, 'cache'), searchPath });
    expect(await provider.locate('probe-tool', options)).to.deep.equal({
      name: 'probe-tool',
      path: join(folder, 'c', 'probe-tool'),
      origin: 'path',
      env: {},
    });
  });

  it('ignores relative entries of PATH', async () => {
    expect(await findProgram('package.json', '.:')).to.equal(undefined);
  });

  it('says that a program is missing for which no package is known', async () => {
    const provider = new DebianToolProvider({ cacheDir: join(folder, 'cache'), searchPath: folder });
    const error = await provider.locate('no-such-tool', options).catch((it: unknown) => it);
    expect(hasCode(error, 'HOST_TOOL_MISSING')).to.equal(true);
    expect((error as Error).message)
      .to.include('no-such-tool')
      .and.include(folder);
  });

  it('on a machine without apt says what to install', async () => {
    const provider = new DebianToolProvider({ cacheDir: join(folder, 'cache'), searchPath: folder });
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      const error = await provider.locate('qemu-system-x86_64', options).catch((it: unknown) => it);
      expect(hasCode(error, 'HOST_TOOL_MISSING')).to.equal(true);
      expect((error as Error).message)
        .to.include('no apt')
        .and.include('qemu-system-x86');
    } finally {
      process.env.PATH = path;
    }
  });

  it('does nothing once the signal has fired', async () => {
    const provider = new DebianToolProvider({ cacheDir: join(folder, 'cache') });
    const error = await provider.locate('node', { ...options, signal: AbortSignal.abort() }).catch((it: unknown) => it);
    expect(hasCode(error, 'ABORTED')).to.equal(true);
  });

  it('tells QEMU where an unpacked one keeps its firmware', () => {
    const tool = { name: 'qemu', path: '/c/usr/bin/qemu', origin: 'unpacked' as const, env: {} };
    expect(qemuFirmwareArgs({ ...tool, root: '/c' })).to.deep.equal(
      ['/c/usr/share/qemu', '/c/usr/share/seabios', '/c/usr/lib/ipxe/qemu'].flatMap((path) => ['-L', path]),
    );
    expect(qemuFirmwareArgs({ ...tool, origin: 'path' })).to.deep.equal([]);
  });
});
