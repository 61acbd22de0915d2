import { join } from 'node:path';
import type { Tool } from '../tools.js';

/** Debian's firmware search path (`--firmwarepath` of its QEMU packages), for `-L`. */
const FIRMWARE_DIRS = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'];

/** Where a QEMU looks for firmware. */
export function firmwareDirs({ root = '/' }: Tool): readonly string[] {
  return FIRMWARE_DIRS.map((folder) => join(root, folder));
}

/** `-L DIR …` for a QEMU that was unpacked; nothing for an installed one, which knows its own. */
export function qemuFirmwareArgs(qemu: Tool): string[] {
  return qemu.root === undefined ? [] : firmwareDirs(qemu).flatMap((folder) => ['-L', folder]);
}
