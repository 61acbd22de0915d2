import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { writeCpio } from '../../../../guest/image/cpio.js';
import { DebianGuestImageProvider } from '../../../../guest/image/index.js';
import { type HyperplugError, hasCode } from '../../../../src/core/errors.js';
import { silentProgress } from '../../../../src/core/progress.js';
import { bzImage, elfKernel } from './synthetic-kernel.js';

describe('guest image: configured kernel and initramfs', () => {
  let folder: string;
  const call = { signal: new AbortController().signal, progress: silentProgress };
  const file = (name: string, content: Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const image = (kernelPath: string, initramfsPath: string) => {
    const tools = { locate: () => expect.fail('no program is needed') };
    return new DebianGuestImageProvider({ cacheDir: join(folder, 'cache'), tools, kernelPath, initramfsPath }).image(
      call,
    );
  };
  const refusal = async (kernelPath: string, initramfsPath: string): Promise<HyperplugError> => {
    const error = await image(kernelPath, initramfsPath).catch((it: unknown) => it);
    expect(hasCode(error, 'IMAGE_NOT_FOUND')).to.equal(true);
    return error as HyperplugError;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-image-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  for (const [kind, kernel] of [
    ['an ELF with a PVH entry', elfKernel({ pvh: true })],
    ['a bzImage', bzImage(Buffer.alloc(100))],
  ] as const) {
    it(`takes ${kind} and a cpio, and builds nothing`, async () => {
      const kernelPath = file('kernel', kernel);
      const initramfsPath = file('initramfs', writeCpio([]));
      expect(await image(kernelPath, initramfsPath)).to.include({ kernelPath, initramfsPath });
    });
  }

  it('names the field and the value of a file that is not there or is something else', async () => {
    const kernel = file('kernel', elfKernel({ pvh: true }));
    const initramfs = file('initramfs', writeCpio([]));
    const text = file('text', Buffer.from('hello'));
    const missing = join(folder, 'missing');
    expect((await refusal(missing, initramfs)).message)
      .to.include('guest.kernel')
      .and.include(missing)
      .and.include('ENOENT');
    expect((await refusal(text, initramfs)).details).to.include({ field: 'guest.kernel', received: text });
    expect((await refusal(file('plain', elfKernel({ pvh: false })), initramfs)).message).to.include('PVH');
    expect((await refusal(kernel, missing)).details).to.include({ field: 'guest.initramfs' });
    expect((await refusal(kernel, text)).message).to.include('cpio');
    expect((await refusal(kernel, file('empty', Buffer.alloc(0)))).message).to.include('cpio');
    expect((await refusal(kernel, folder)).message).to.include('guest.initramfs');
  });
});
