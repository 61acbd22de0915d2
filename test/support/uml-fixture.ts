import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCpio } from '../../guest/image/cpio.js';
import type { HypervisorVm, VmNic, VmSpec } from '../../src/core/hypervisor.js';
import { silentProgress } from '../../src/core/progress.js';
import { pathTools } from '../../src/host/path-tools.js';
import { buildImage } from '../../src/hyperplug.js';
import { UmlDriver } from '../../src/plugins/uml/driver.js';
import { type UmlOptions, umlOptions } from '../../src/plugins/uml/options.js';
import { processesNaming } from './qemu-fixture.js';

const has = (program: string) => {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
export const hasUml = has('linux.uml') && has('slirp4netns');

export const ECHO = 'echo';
export const CONTROL = 'control';

/**
 * A guest that sends back what comes on the first line, and on the second does what it is told: `macs`, `up MAC`, `down MAC`,
 * `off`, `panic`, `hostfs DIR`, `disk NAME` (sectors, and the first bytes), `write NAME`, `chatter` (on the console). It takes up each NIC that it sees, and powers off at Ctrl-Alt-Del.
 */
const INIT = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
echo 0 >/proc/sys/kernel/ctrl-alt-del
trap 'poweroff -f' INT
# A line that nobody has open forgets what has come on it.
exec 3<>/dev/ttyS0 4<>/dev/ttyS1
stty raw -echo <&3
stty raw -echo <&4
echo ready >&4
cat <&3 >&3 &
link() { for each in /sys/class/net/*; do [ "$(cat $each/address)" = "$1" ] && echo \${each##*/}; done; }
up() {
  while usleep 20000; do
    for each in /sys/class/net/vec*; do
      [ -e $each/address ] && [ ! -e /tmp/$(cat $each/address) ] && ip link set \${each##*/} up 2>/dev/null
    done
  done
}
up &
while read word argument; do
  case $word in
    macs) echo $(cat /sys/class/net/vec*/address 2>/dev/null) ;;
    up) rm -f /tmp/$argument; ip link set $(link $argument) up; echo ok ;;
    down) : >/tmp/$argument; usleep 100000; ip link set $(link $argument) down; echo ok ;;
    off) poweroff -f ;;
    hostfs) mkdir -p /tmp/host; mount -t hostfs none /tmp/host -o $argument 2>/dev/null && ls /tmp/host/passwd /tmp/host/etc 2>/dev/null | head -1 | grep . || echo refused; umount /tmp/host 2>/dev/null ;;
    disk) echo $(cat /sys/block/$argument/size) $(head -c4 /dev/$argument) ;;
    write) echo guest >/dev/$argument && sync && echo ok || echo refused ;;
    chatter) dd if=/dev/zero bs=64k count=40 2>/dev/null | tr '\\0' 'x' >/dev/console & echo ok ;;
    panic) echo c >/proc/sysrq-trigger ;;
    *) echo ok ;;
  esac
done <&4 >&4 &
while :; do wait; usleep 50000; done
`;

/** A directory of its own for one test, and what the driver needs to run a VM in it. */
export class UmlFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'hpu-'));
  readonly initramfsPath = join(this.root, 'initramfs');
  #launcherPath: string | undefined;
  #serial = 0;

  async prepare(): Promise<void> {
    const image = await buildImage();
    this.#launcherPath = image.launcherPath;
    const init = writeCpio([{ kind: 'file', path: 'test-init', mode: 0o755, content: Buffer.from(INIT) }]);
    writeFileSync(this.initramfsPath, Buffer.concat([readFileSync(image.bareInitramfsPath as string), init]), {
      mode: 0o644,
    });
  }

  driver(options: Partial<UmlOptions> = {}): UmlDriver {
    return new UmlDriver(umlOptions.parse(options), {
      tools: pathTools,
      progress: silentProgress,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
  }

  spec(changes: Partial<VmSpec> = {}): VmSpec {
    const id = `uml-${process.pid}-${++this.#serial}`;
    const runDir = join(this.root, id);
    mkdirSync(runDir, { mode: 0o700 });
    return {
      id,
      cpus: 1,
      memoryMib: 96,
      kernelPath: '/nothing/that/is/read',
      initramfsPath: this.initramfsPath,
      ...(this.#launcherPath !== undefined && { launcherPath: this.#launcherPath }),
      kernelArgs: ['rdinit=/test-init'],
      channels: [ECHO, CONTROL],
      nics: [],
      hotplugNicSlots: 2,
      runDir,
      consoleLogPath: join(this.root, `${id}.log`),
      detached: false,
      disks: [],
      shares: [],
      ...changes,
    };
  }

  nic(id: string, changes: Partial<VmNic> = {}): VmNic {
    return {
      id,
      mac: `52:54:00:00:00:${(++this.#serial).toString(16).padStart(2, '0')}`,
      mtu: 1500,
      queues: 1,
      endpoint: { kind: 'interface', name: 'lo' },
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

/** Waits until INIT listens. Once, before the first command. */
export async function ready(vm: HypervisorVm): Promise<void> {
  const line = await converse(vm, '');
  if (line !== 'ready') throw new Error(`the guest said ${line}`);
}

/** One command of INIT and the line that it answers; undefined: it ended first. */
export const command = (vm: HypervisorVm, line: string): Promise<string | undefined> => converse(vm, `${line}\n`);

async function converse(vm: HypervisorVm, said: string): Promise<string | undefined> {
  const channel = await vm.openChannel(CONTROL, { signal: AbortSignal.timeout(20_000) });
  const timer = setTimeout(() => channel.destroy(new Error(`no answer to ${said}`)), 20_000);
  try {
    channel.write(said);
    let text = '';
    for await (const chunk of channel) {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) return text.slice(0, end);
    }
    return undefined;
  } finally {
    clearTimeout(timer);
    channel.destroy();
  }
}
