import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VmNic, VmSpec } from '../../src/core/hypervisor.js';
import { silentProgress } from '../../src/core/progress.js';
import { pathTools } from '../../src/host/path-tools.js';
import { QemuDriver } from '../../src/plugins/qemu/driver.js';
import { pvhElf } from '../../src/plugins/qemu/kvm/probe-guest.js';
import { type QemuOptions, qemuOptions } from '../../src/plugins/qemu/options.js';

/** Programs for guests without an operating system; see pvhElf(). */
export const GUESTS = {
  /** cli; hlt; jmp: takes no CPU time. */
  halt: 'fa f4 eb fc',
  /** Writes 'Q' and a line feed to the serial port, then halts. */
  hello: 'ba f8 03 00 00 b0 51 ee b0 0a ee fa f4 eb fc',
  /** Writes to the serial port for ever. */
  chatter: 'ba f8 03 00 00 b0 51 ee eb fd',
  /** ACPI power-off of q35: 0x2000 | SLP_EN to PM1a_CNT (0x604). */
  powerOff: 'ba 04 06 00 00 66 b8 00 20 66 ef fa f4 eb fc',
  /**
   * What an operating system does for hot-unplug and power-off, without one, on q35: enables the power button (PM1_EN,
   * 0x602), then for ever: powers off when it was pressed (PM1_STS, 0x600), and on each of eight buses ejects what QEMU
   * wants back (docs/specs/acpi_pci_hotplug.rst: select 0xcd0, down 0xcc4, eject 0xcc8).
   */
  cooperate: [
    'ba 02 06 00 00 66 b8 00 01 66 ef', // out 0x602, 0x100
    'ba 00 06 00 00 66 ed f6 c4 01 75 24', // in ax, 0x600; test ah, 1; jnz off
    '31 c9', // xor ecx, ecx
    '89 c8 ba d0 0c 00 00 ef', // bus: out 0xcd0, ecx
    'ba c4 0c 00 00 ed', // in eax, 0xcc4
    '85 c0 74 06', // test eax, eax; jz next
    'ba c8 0c 00 00 ef', // out 0xcc8, eax
    '41 83 f9 08 72 e2', // next: inc ecx; cmp ecx, 8; jb bus
    'f3 90 eb d0', // pause; jmp back to the power button
    'ba 04 06 00 00 66 b8 00 20 66 ef fa f4 eb fc', // off: out 0x604, 0x2000; cli; hlt
  ].join(' '),
  /** Reset by the keyboard controller's line. */
  reset: 'b0 fe e6 64 fa f4 eb fc',
  /** pvpanic's port: the guest's kernel has panicked. */
  panic: 'ba 05 05 00 00 b0 01 ee fa f4 eb fc',
} as const;

export const hasQemu = (() => {
  try {
    execFileSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

/** Every process whose command line names this directory. */
export function processesNaming(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(directory);
      } catch {
        return false;
      }
    });
}

/** A directory of its own for one test, and what the driver needs to run a VM in it. */
export class QemuFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'hpq-'));
  #serial = 0;

  driver(options: Partial<QemuOptions> = {}): QemuDriver {
    const host = {
      tools: pathTools,
      progress: silentProgress,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      paths: { cacheDir: join(this.root, 'cache') },
    };
    return new QemuDriver(qemuOptions.parse({ acceleration: 'tcg', ...options }), host);
  }

  kernel(guest: keyof typeof GUESTS): string {
    const path = join(this.root, `${guest}.elf`);
    writeFileSync(path, pvhElf(Buffer.from(GUESTS[guest].replaceAll(' ', ''), 'hex')), { mode: 0o644 });
    return path;
  }

  spec(guest: keyof typeof GUESTS, changes: Partial<VmSpec> = {}): VmSpec {
    const id = `vm-${++this.#serial}`;
    const runDir = join(this.root, id);
    mkdirSync(runDir, { mode: 0o700 });
    const initramfsPath = join(this.root, 'initramfs');
    writeFileSync(initramfsPath, 'not read by these guests', { mode: 0o644 });
    return {
      id,
      cpus: 1,
      memoryMib: 64,
      kernelPath: this.kernel(guest),
      initramfsPath,
      kernelArgs: [],
      channels: ['control', 'streams'],
      nics: [],
      disks: [],
      shares: [],
      hotplugNicSlots: 2,
      runDir,
      consoleLogPath: join(this.root, `${id}.log`),
      detached: false,
      ...changes,
    };
  }

  nic(id: string, changes: Partial<VmNic> = {}): VmNic {
    return {
      id,
      mac: `52:54:00:00:00:${(++this.#serial).toString(16).padStart(2, '0')}`,
      mtu: 1500,
      queues: 1,
      endpoint: {
        kind: 'builtin',
        ipv4: { subnet: '10.0.2.0/24', gateway: '10.0.2.2', dns: '10.0.2.3', guest: '10.0.2.15' },
        forwards: [],
        restricted: false,
      },
      ...changes,
    };
  }

  /** What a VM has left: processes and files of its run directory. */
  leftovers(spec: VmSpec): string[] {
    const files = readdirSync(spec.runDir, { recursive: true }).map(String);
    return [...files, ...processesNaming(spec.runDir).map((pid) => `process ${pid}`)];
  }

  /** Ends what a failed test left behind. */
  dispose(): void {
    for (const pid of processesNaming(this.root)) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {}
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}
