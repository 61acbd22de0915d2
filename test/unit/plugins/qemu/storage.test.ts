import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import { blockdev, checkDisk, storageAddress } from '../../../../src/plugins/qemu/storage.js';

describe('QEMU storage', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-storage-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** The header of docs/interop/qcow2.txt, version 3. */
  function qcow2(parts: { backing?: bigint; incompatible?: bigint } = {}) {
    const header = Buffer.alloc(104);
    header.writeUInt32BE(0x514649fb, 0);
    header.writeUInt32BE(3, 4);
    header.writeBigUInt64BE(parts.backing ?? 0n, 8);
    header.writeBigUInt64BE(64n << 20n, 24);
    header.writeBigUInt64BE(parts.incompatible ?? 0n, 72);
    const path = join(folder, 'image.qcow2');
    writeFileSync(path, header);
    return { id: 'd', path, format: 'qcow2', readOnly: false } as const;
  }

  it('takes a qcow2 image that is whole by itself, with room for it to grow', async () => {
    expect(await checkDisk(qcow2(), 0)).to.be.greaterThan(64 << 20);
  });

  it('refuses one that names other files, which QEMU would open, and what is no qcow2', async () => {
    const refused = async (disk: Parameters<typeof checkDisk>[0]) => {
      const error = await checkDisk(disk, 3).catch((reason: unknown) => reason);
      expect(hasCode(error, 'VM_SPEC_INVALID')).to.equal(true);
      expect((error as Error).message).to.include('disks[3].path');
    };
    await refused(qcow2({ backing: 512n }));
    await refused(qcow2({ incompatible: 4n }));
    const path = join(folder, 'raw');
    writeFileSync(path, Buffer.alloc(4096));
    await refused({ id: 'd', path, format: 'qcow2', readOnly: true });
  });

  it('opens no backing file, and nothing by name', () => {
    const plan = {
      disk: { id: 'd', path: '/x', format: 'qcow2', readOnly: true },
      fdSet: 4,
      blockDevice: false,
    } as const;
    expect(blockdev(plan, 2)).to.deep.equal({
      driver: 'qcow2',
      'node-name': 'disk2',
      'read-only': true,
      backing: null,
      file: { driver: 'file', filename: '/dev/fdset/4', 'read-only': true },
    });
  });

  it('gives each of 24 devices a place of its own, apart from the slots of NICs', () => {
    for (const machine of ['q35', 'pc'] as const) {
      const places = Array.from({ length: 24 }, (_, index) => String(storageAddress(machine, index).addr));
      expect(new Set(places).size).to.equal(24);
      const slots = places.map((place) => Number.parseInt(place, 16));
      expect(Math.min(...slots)).to.be.at.least(machine === 'q35' ? 0x1c : 0x1d);
      expect(Math.max(...slots)).to.be.at.most(machine === 'q35' ? 0x1e : 0x1f);
    }
  });
});
