/** isa-debug-exit at this port: QEMU ends with exit code `value << 1 | 1`. */
export const PROBE_EXIT_PORT = 0xf4;
/** What QEMU exits with when the guest has done its work. */
export const PROBE_EXIT_CODE = (0x2a << 1) | 1;

const LOAD_ADDRESS = 0x100000;
/** The code is less than a page and the note stands after it. */
const NOTE_OFFSET = 0x800;
const CODE_FILE_OFFSET = 0x1000;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/**
 * 32-bit entry of the PVH boot protocol (flat segments, paging off). Maps the first GiB, enters long mode, then writes and
 * reads 16 MiB and leaves for the hypervisor once a page: page faults, exits and emulated devices are what a broken KVM
 * stumbles over. Nested KVM without hardware help runs a shorter guest well and this one a hundred times too slowly.
 */
const PROBE_CODE = [
  'fc', // cld
  'bf 00 00 20 00', // mov edi, 0x200000        page tables: PML4, PDPT, PD
  '31 c0', // xor eax, eax
  'b9 00 0c 00 00', // mov ecx, 3072
  'f3 ab', // rep stosd
  'c7 05 00 00 20 00 03 10 20 00', // mov dword [0x200000], 0x201003
  'c7 05 00 10 20 00 03 20 20 00', // mov dword [0x201000], 0x202003
  'bf 00 20 20 00', // mov edi, 0x202000
  'b8 83 00 00 00', // mov eax, 0x83            present, writable, 2 MiB
  'b9 00 02 00 00', // mov ecx, 512
  '89 07', // mov [edi], eax
  '05 00 00 20 00', // add eax, 0x200000
  '83 c7 08', // add edi, 8
  'e2 f4', // loop -12
  '0f 20 e0', // mov eax, cr4
  '83 c8 20', // or eax, 0x20                   PAE
  '0f 22 e0', // mov cr4, eax
  'b8 00 00 20 00', // mov eax, 0x200000
  '0f 22 d8', // mov cr3, eax
  'b9 80 00 00 c0', // mov ecx, 0xc0000080      EFER
  '0f 32', // rdmsr
  '0d 00 01 00 00', // or eax, 0x100            LME
  '0f 30', // wrmsr
  '0f 20 c0', // mov eax, cr0
  '0d 00 00 00 80', // or eax, 0x80000000       PG
  '0f 22 c0', // mov cr0, eax
  '0f 01 15 {gdtr}', // lgdt [gdtr]
  'ea {long} 08 00', // jmp 8:long
  '{long}:',
  'b8 10 00 00 00', // mov eax, 0x10
  '8e d8', // mov ds, eax
  '8e c0', // mov es, eax
  '8e d0', // mov ss, eax
  'bf 00 00 40 00', // mov edi, 0x400000
  'bb 00 10 00 00', // mov ebx, 4096            pages
  '31 f6', // xor esi, esi
  '89 f8', // mov eax, edi
  'b9 00 02 00 00', // mov ecx, 512
  '48 89 07', // mov [rdi], rax
  '48 03 37', // add rsi, [rdi]
  '48 83 c7 08', // add rdi, 8
  '48 05 b1 79 37 1e', // add rax, 0x1e3779b1
  'e2 ee', // loop -18
  'e4 80', // in al, 0x80
  'ff cb', // dec ebx
  '75 e1', // jnz -31
  'b8 2a 00 00 00', // mov eax, 42
  'e7 f4', // out 0xf4, eax
  'fa', // cli
  'f4', // hlt
  'eb fc', // jmp -4
  '{gdt}:',
  '00 00 00 00 00 00 00 00',
  'ff ff 00 00 00 9a af 00', // 8: 64-bit code
  'ff ff 00 00 00 92 cf 00', // 16: data
  '{gdtr}:',
  '17 00 {gdt}', // limit 23
];

/** An ELF that `-kernel` boots by PVH; see PROBE_CODE. */
export function probeGuest(): Buffer {
  return pvhElf(assemble(PROBE_CODE));
}

/**
 * A minimal ELF32 with the note by which QEMU finds a PVH entry (include/xen/interface/elfnote.h, PHYS32_ENTRY). `code`
 * begins with 32-bit instructions at 1 MiB.
 */
export function pvhElf(code: Buffer): Buffer {
  if (code.length > NOTE_OFFSET) throw new TypeError(`code: expected at most ${NOTE_OFFSET} bytes, got ${code.length}`);
  const image = Buffer.alloc(CODE_FILE_OFFSET + NOTE_OFFSET + 20);
  const u32 = (offset: number, ...values: number[]) => {
    for (const [index, value] of values.entries()) image.writeUInt32LE(value, offset + 4 * index);
  };
  const segmentBytes = NOTE_OFFSET + 20;
  const headerBytes = 52;
  const programHeaderBytes = 32;
  image.write('\x7fELF\x01\x01\x01', 'latin1');
  image.writeUInt16LE(2, 16); // ET_EXEC
  image.writeUInt16LE(3, 18); // EM_386
  u32(20, 1, LOAD_ADDRESS, headerBytes); // version, entry, program headers
  image.writeUInt16LE(headerBytes, 40);
  image.writeUInt16LE(programHeaderBytes, 42);
  image.writeUInt16LE(2, 44);
  // p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags, p_align
  u32(headerBytes, 1, CODE_FILE_OFFSET, LOAD_ADDRESS, LOAD_ADDRESS, segmentBytes, segmentBytes, 7, 0x1000);
  const note = LOAD_ADDRESS + NOTE_OFFSET;
  u32(headerBytes + programHeaderBytes, 4, CODE_FILE_OFFSET + NOTE_OFFSET, note, note, 20, 20, 4, 4);
  code.copy(image, CODE_FILE_OFFSET);
  u32(CODE_FILE_OFFSET + NOTE_OFFSET, 4, 4, XEN_ELFNOTE_PHYS32_ENTRY);
  image.write('Xen\0', CODE_FILE_OFFSET + NOTE_OFFSET + 12, 'latin1');
  u32(CODE_FILE_OFFSET + NOTE_OFFSET + 16, LOAD_ADDRESS);
  return image;
}

/** Hexadecimal bytes; `{name}:` is a label, `{name}` its 32-bit address. */
function assemble(lines: readonly string[]): Buffer {
  const labels = new Map<string, number>();
  let address = LOAD_ADDRESS;
  for (const line of lines) {
    const label = /^(\{\w+\}):$/.exec(line)?.[1];
    if (label) labels.set(label, address);
    else for (const token of line.split(' ')) address += token.startsWith('{') ? 4 : 1;
  }
  const bytes: number[] = [];
  for (const token of lines.filter((line) => !line.endsWith(':')).flatMap((line) => line.split(' '))) {
    const value = token.startsWith('{') ? labels.get(token) : undefined;
    if (value === undefined) bytes.push(Number.parseInt(token, 16));
    else for (let shift = 0; shift < 32; shift += 8) bytes.push((value >>> shift) & 0xff);
  }
  return Buffer.from(bytes);
}
