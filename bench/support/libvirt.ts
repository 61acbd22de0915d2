import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { GuestSession } from '../../src/core/agent.js';
import type { GuestImage } from '../../src/core/guest-image.js';
import { findProgram } from '../harness/machine.js';
import { agentOf } from './bare-guest.js';
import { tunedKernelArgs } from './bare-qemu.js';
import { run } from './commands.js';
import { TempDir } from './temp-dir.js';

const NIC_SLOTS = 4;
const COMMAND_TIMEOUT_MS = 30_000;

/** Where a libvirtd keeps what it has: each is empty, and this process's alone, in its mount namespace. */
const PLACES = ['/etc/libvirt', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt'];
const DAEMON_CONF = 'auth_unix_rw = "none"\n';
const QEMU_CONF = [
  ...['user = "root"', 'group = "root"', 'security_driver = "none"', 'cgroup_controllers = []', 'namespaces = []'],
  ...['stdio_handler = "file"', 'dynamic_ownership = 0', 'remember_owner = 0', ''],
].join('\n');

/** `default`: what libvirt takes where a domain names no machine, `pc` (i440fx). `q35`: with a root port for each NIC, as ours. */
export type LibvirtMachine = 'q35' | 'default';

/** The same kernel, initramfs and agent in each. */
function domain(machine: LibvirtMachine, image: GuestImage, channels: readonly string[]): string {
  const ports = Array.from({ length: NIC_SLOTS + 2 }, () => "<controller type='pci' model='pcie-root-port'/>").join('');
  const [attribute, bus] =
    machine === 'q35' ? [" machine='q35'", `<controller type='pci' model='pcie-root'/>${ports}`] : ['', ''];
  const agent = channels.map(
    (path, at) => `<channel type='unix'><source mode='bind' path='${path}'/>
      <target type='virtio' name='sh.hyper.channel.${at}'/></channel>`,
  );
  return `<domain type='qemu'><name>${machine}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
    <os><type arch='x86_64'${attribute}>hvm</type><kernel>${image.kernelPath}</kernel>
      <initrd>${image.initramfsPath}</initrd><cmdline>${tunedKernelArgs(image)}</cmdline></os>
    <features><acpi/></features><cpu mode='maximum'/>
    <devices><emulator>${findProgram('qemu-system-x86_64')}</emulator>
      <controller type='usb' model='none'/>${bus}
      <controller type='virtio-serial'/>${agent.join('')}<memballoon model='none'/></devices></domain>`;
}

const nicXml = (bridge: string, mac: string) =>
  `<interface type='bridge'><source bridge='${bridge}'/><mac address='${mac}'/><model type='virtio'/></interface>`;

/** A libvirtd in this process's namespaces. */
export class Libvirt {
  private constructor(private readonly daemon: ChildProcess) {}

  /** A string: why there is none here. */
  static async start(signal: AbortSignal): Promise<Libvirt | string> {
    const missing = ['libvirtd', 'virsh'].filter((program) => findProgram(program) === undefined);
    if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
    const daemon = startDaemon();
    try {
      await listening(daemon, signal);
      return new Libvirt(daemon);
    } catch (error) {
      await stopDaemon(daemon);
      throw error;
    }
  }

  stop(): Promise<void> {
    return stopDaemon(this.daemon);
  }
}

/** A guest like ours, worked by virsh as a script would. */
export class LibvirtGuest {
  #mac = '';

  private constructor(
    private readonly machine: LibvirtMachine,
    private readonly directory: TempDir,
    private readonly session: GuestSession,
  ) {}

  static async boot(machine: LibvirtMachine, image: GuestImage, signal: AbortSignal): Promise<LibvirtGuest> {
    const directory = new TempDir();
    try {
      const channels = [0, 1].map((at) => join(directory.path, `channel${at}.sock`));
      const xml = join(directory.path, 'domain.xml');
      writeFileSync(xml, domain(machine, image, channels));
      virsh('create', xml);
      return new LibvirtGuest(machine, directory, await agentOf(channels, signal));
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  async addNic(bridge: string, mac: string, address: string, signal: AbortSignal): Promise<void> {
    this.#mac = mac;
    const xml = join(this.directory.path, 'nic.xml');
    writeFileSync(xml, nicXml(bridge, mac));
    virsh('attach-device', this.machine, xml, '--live');
    const addAddresses = [{ address, prefixLength: 24 }];
    await this.session.setupInterface({ mac, expectedName: 'eth0', addAddresses, removeAddresses: [] }, { signal });
  }

  async removeNic(): Promise<void> {
    virsh('detach-interface', this.machine, 'bridge', '--mac', this.#mac, '--live');
    // It has only asked the guest.
    while (virsh('domiflist', this.machine).includes(this.#mac)) await delay(5);
  }

  async stop(): Promise<void> {
    await this.session.close();
    virsh('destroy', this.machine);
    this.directory[Symbol.dispose]();
  }
}

function startDaemon(): ChildProcess {
  for (const place of PLACES) run('mount', '-t', 'tmpfs', 'tmpfs', place);
  writeFileSync('/etc/libvirt/libvirtd.conf', DAEMON_CONF);
  writeFileSync('/etc/libvirt/qemu.conf', QEMU_CONF);
  return spawn('libvirtd', [], { stdio: 'ignore' });
}

async function listening(daemon: ChildProcess, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (daemon.exitCode !== null) throw new Error(`libvirtd ended with exit code ${daemon.exitCode}`);
    if (tryVirsh('version').status === 0) return;
    await delay(50);
  }
}

function tryVirsh(...argv: string[]) {
  return spawnSync('virsh', ['-c', 'qemu:///system', ...argv], { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS });
}

function virsh(...argv: string[]): string {
  const { status, stdout, stderr } = tryVirsh(...argv);
  if (status !== 0) throw new Error(`virsh ${argv[0]}: ${stderr}`);
  return stdout;
}

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null) return;
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGKILL');
  await ended;
}
