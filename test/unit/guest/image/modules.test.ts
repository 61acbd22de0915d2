import { expect } from 'chai';
import fc from 'fast-check';
import { loadOrder, moduleDependencies, moduleName, withoutSignature } from '../../../../guest/image/modules.js';
import { hasCode } from '../../../../src/core/errors.js';

/** An ELF64 with a .modinfo and a .shstrtab section. */
function moduleFile(modinfo: string): Buffer {
  const names = Buffer.from('\0.modinfo\0.shstrtab\0');
  const info = Buffer.from(modinfo);
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 0, 'latin1');
  header.set([2, 1, 1], 4);
  const section = (name: number, offset: number, size: number) => {
    const entry = Buffer.alloc(64);
    entry.writeUInt32LE(name, 0);
    entry.writeBigUInt64LE(BigInt(offset), 24);
    entry.writeBigUInt64LE(BigInt(size), 32);
    return entry;
  };
  header.writeBigUInt64LE(BigInt(64 + info.length + names.length), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  header.writeUInt16LE(2, 62);
  const sections = [Buffer.alloc(64), section(1, 64, info.length), section(10, 64 + info.length, names.length)];
  return Buffer.concat([header, info, names, ...sections]);
}

describe('guest image: modules', () => {
  it('names modules as the kernel does', () => {
    expect(moduleName('kernel/drivers/char/hw_random/virtio-rng.ko')).to.equal('virtio_rng');
    expect(moduleName('x/overlay.ko.xz')).to.equal('overlay');
  });

  it('reads depends= from .modinfo', () => {
    const file = moduleFile('license=GPL\0depends=virtio_ring,net-failover\0name=virtio_net\0');
    expect(moduleDependencies(file)).to.deep.equal(['virtio_ring', 'net_failover']);
    expect(moduleDependencies(moduleFile('depends=\0'))).to.deep.equal([]);
    expect(moduleDependencies(Buffer.from('no ELF'))).to.deep.equal([]);
  });

  it('never throws on a damaged module', () => {
    const base = moduleFile('depends=a,b\0');
    fc.assert(
      fc.property(fc.nat(base.length), fc.array(fc.tuple(fc.nat(base.length - 1), fc.nat(255))), (cut, edits) => {
        const file = Buffer.from(base);
        for (const [at, byte] of edits) file[at] = byte;
        moduleDependencies(file.subarray(0, cut));
        withoutSignature(file.subarray(0, cut));
      }),
    );
  });

  it('cuts an appended signature off, and nothing else', () => {
    const module = Buffer.from('module bytes');
    const trailer = Buffer.alloc(12);
    trailer.writeUInt32BE(5, 8);
    const signed = Buffer.concat([module, Buffer.from('PKCS7'), trailer, Buffer.from('~Module signature appended~\n')]);
    expect(withoutSignature(signed).equals(module)).to.equal(true);
    expect(withoutSignature(module).equals(module)).to.equal(true);
  });

  it('puts each dependency first and each module once, and leaves out what is built in', () => {
    const graph: Record<string, string[]> = {
      net: ['failover', 'ring'],
      failover: ['core'],
      ring: ['virtio'],
      virtio: [],
    };
    const order = loadOrder(['net', 'ring'], (name) => graph[name], new Set(['core']));
    expect(order).to.deep.equal(['failover', 'virtio', 'ring', 'net']);
  });

  it('names a missing module with the way to it, and a circle', () => {
    const message = (graph: Record<string, string[]>) => {
      try {
        loadOrder(['a'], (name) => graph[name], new Set());
      } catch (error) {
        expect(hasCode(error, 'IMAGE_BUILD_FAILED')).to.equal(true);
        return (error as Error).message;
      }
      return expect.fail('it did not throw');
    };
    expect(message({ a: ['b'] })).to.include('a → b');
    expect(message({ a: ['b'], b: ['a'] })).to.include('a → b → a');
  });
});
