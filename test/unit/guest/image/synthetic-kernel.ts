/** Kernels of a few hundred bytes with the fields that boot loaders look at. */

/** An ELF64 for x86-64 with one PT_NOTE segment. */
export function elfKernel({ pvh }: { readonly pvh: boolean }): Buffer {
  const note = Buffer.alloc(12 + 8 + 12 + 4 + 4);
  // first a note of another kind, so that walking the list is needed
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(4, 4);
  note.writeUInt32LE(6, 8);
  note.write('Xen\0', 12);
  const second = Buffer.alloc(20);
  second.writeUInt32LE(4, 0);
  second.writeUInt32LE(4, 4);
  second.writeUInt32LE(pvh ? 18 : 17, 8);
  second.write('Xen\0', 12);
  const notes = Buffer.concat([note.subarray(0, 20), second]);
  const file = Buffer.alloc(64 + 56);
  file.write('\x7fELF', 0, 'latin1');
  file.set([2, 1, 1], 4);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(4, 64);
  file.writeBigUInt64LE(120n, 64 + 8);
  file.writeBigUInt64LE(BigInt(notes.length), 64 + 32);
  return Buffer.concat([file, notes, Buffer.from('text'.repeat(100))]);
}

/** A bzImage around `payload`. */
export function bzImage(payload: Buffer, { setupSectors = 2 }: { readonly setupSectors?: number } = {}): Buffer {
  const payloadOffset = 0x40;
  const header = Buffer.alloc(((setupSectors || 4) + 1) * 512 + payloadOffset);
  header[0x1f1] = setupSectors;
  header.write('HdrS', 0x202, 'latin1');
  header.writeUInt16LE(0x020f, 0x206);
  header.writeUInt32LE(payloadOffset, 0x248);
  header.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([header, payload]);
}

/** The last four bytes of a payload: the size of the kernel. */
export function withSize(payload: Buffer, size: number): Buffer {
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(size);
  return Buffer.concat([payload, tail]);
}

/** A legacy frame of literals only. */
export function lz4Legacy(data: Buffer): Buffer {
  const rest = data.length - 15;
  const length = [0xf0, ...Array<number>(Math.floor(rest / 255)).fill(255), rest % 255];
  const block = Buffer.concat([Buffer.from(length), data]);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184c2102, 0);
  head.writeUInt32LE(block.length, 4);
  return Buffer.concat([head, block]);
}
