import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A guest of 22 bytes, entered in 32-bit mode at 1 MiB (PVH). It looks at the machine's event register for ever
 * (hw/acpi/generic_event_device.c: 0xfea00000, bit 1 is the power button) and powers off when the button was pressed.
 */
const CODE = [
  'f3 90', // pause
  'a1 00 00 a0 fe', // mov eax, [0xfea00000]
  'a8 02', // test al, 2
  '74 f5', // jz -11
  'c6 05 00 02 a0 fe 34', // mov byte [0xfea00200], SLP_EN | S5 << 2
  'fa f4 eb fc', // cli; hlt; jmp -4
].join(' ');

/** An ELF32 with the note by which QEMU finds the entry (include/xen/interface/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY = 18). */
export function writeGuest(directory: string): { readonly kernelPath: string; readonly initramfsPath: string } {
  const code = Buffer.from(CODE.replaceAll(' ', ''), 'hex');
  const image = Buffer.alloc(0x1000 + 0x100 + 20);
  const words = (offset: number, ...values: number[]) => {
    for (const [at, value] of values.entries()) image.writeUInt32LE(value, offset + 4 * at);
  };
  image.write('\x7fELF\x01\x01\x01', 'latin1');
  image.writeUInt16LE(2, 16); // executable
  image.writeUInt16LE(3, 18); // EM_386
  words(20, 1, 0x100000, 52); // version, entry, program headers
  image.writeUInt16LE(52, 40);
  image.writeUInt16LE(32, 42);
  image.writeUInt16LE(2, 44);
  words(52, 1, 0x1000, 0x100000, 0x100000, 0x100, 0x100, 7, 0x1000); // PT_LOAD
  words(84, 4, 0x1100, 0, 0, 20, 20, 4, 4); // PT_NOTE
  code.copy(image, 0x1000);
  words(0x1100, 4, 4, 18);
  image.write('Xen\0', 0x110c, 'latin1');
  words(0x1110, 0x100000);
  const [kernelPath, initramfsPath] = [join(directory, 'guest.elf'), join(directory, 'initramfs')];
  writeFileSync(kernelPath, image);
  writeFileSync(initramfsPath, 'this guest does not read it');
  return { kernelPath, initramfsPath };
}
