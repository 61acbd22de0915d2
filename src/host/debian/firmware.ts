import { join } from 'node:path';
import type { Tool } from '../tools.js';

/** Debian's firmware search path (`--firmwarepath` of its QEMU packages), for `-L`. */
const FIRMWARE_DIRS = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'];

/** `-L DIR …` for a QEMU that was unpacked; nothing for an installed one, which knows its own. */
export function qemuFirmwareArgs(qemu: Tool): string[] {
  const { root } = qemu;
  return root === undefined ? [] : FIRMWARE_DIRS.flatMap((folder) => ['-L', join(root, folder)]);
}
