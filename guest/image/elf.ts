/** The little of ELF64 (elf(5), little-endian) that building an image needs. Offsets come from files, so all are checked. */

const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18; // xen/include/public/elfnote.h: the 32-bit entry point of PVH boot
const EM_X86_64 = 62;

export function isElf64(file: Buffer): boolean {
  return file.length >= 64 && file.readUInt32BE(0) === 0x7f454c46 && file[4] === 2 && file[5] === 1;
}

/** True for an x86-64 ELF that QEMU's `-kernel` can enter directly (a Xen PHYS32_ENTRY note in a PT_NOTE segment). */
export function hasPvhNote(file: Buffer): boolean {
  if (!isElf64(file) || file.readUInt16LE(18) !== EM_X86_64) return false;
  const tableOffset = safeNumber(file.readBigUInt64LE(32));
  const entrySize = file.readUInt16LE(54);
  const count = file.readUInt16LE(56);
  if (entrySize < 56 || tableOffset + entrySize * count > file.length) return false;
  for (let index = 0; index < count; index++) {
    const header = tableOffset + index * entrySize;
    if (file.readUInt32LE(header) !== PT_NOTE) continue;
    const start = safeNumber(file.readBigUInt64LE(header + 8));
    const size = safeNumber(file.readBigUInt64LE(header + 32));
    if (start + size <= file.length && notesHoldPvhEntry(file.subarray(start, start + size))) return true;
  }
  return false;
}

function notesHoldPvhEntry(notes: Buffer): boolean {
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const descriptionSize = notes.readUInt32LE(at + 4);
    const type = notes.readUInt32LE(at + 8);
    const name = notes.toString('latin1', at + 12, Math.min(notes.length, at + 12 + nameSize));
    if (type === XEN_ELFNOTE_PHYS32_ENTRY && name === 'Xen\0') return true;
    at += 12 + align4(nameSize) + align4(descriptionSize);
  }
  return false;
}

/** The contents of a section, by name; undefined: there is none. */
export function elfSection(file: Buffer, name: string): Buffer | undefined {
  if (!isElf64(file)) return undefined;
  const tableOffset = safeNumber(file.readBigUInt64LE(40));
  const entrySize = file.readUInt16LE(58);
  const count = file.readUInt16LE(60);
  const namesIndex = file.readUInt16LE(62);
  if (entrySize < 64 || namesIndex >= count || tableOffset + entrySize * count > file.length) return undefined;
  const extent = (index: number): Buffer | undefined => {
    const header = tableOffset + index * entrySize;
    const start = safeNumber(file.readBigUInt64LE(header + 24));
    const size = safeNumber(file.readBigUInt64LE(header + 32));
    return start + size <= file.length ? file.subarray(start, start + size) : undefined;
  };
  const names = extent(namesIndex);
  for (let index = 0; names && index < count; index++) {
    const nameStart = file.readUInt32LE(tableOffset + index * entrySize);
    const nameEnd = names.indexOf(0, nameStart);
    if (nameEnd >= 0 && names.toString('latin1', nameStart, nameEnd) === name) return extent(index);
  }
  return undefined;
}

/** A file's 64-bit value as a number that is too large to be an offset rather than wrong. */
function safeNumber(value: bigint): number {
  return value > 0x1f_ffff_ffff_ffffn ? Number.MAX_SAFE_INTEGER : Number(value);
}

function align4(size: number): number {
  return Math.ceil(size / 4) * 4;
}
