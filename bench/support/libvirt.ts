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

const DOMAIN = 'bench';
const NIC_SLOTS = 4;
const COMMAND_TIMEOUT_MS = 30_000;

/** Where a libvirtd keeps what it has: each is empty, and this process's alone, in its mount namespace. */
const PLACES = ['/etc/libvirt', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt'];
const DAEMON_CONF = 'auth_unix_rw = "none"\n';
const QEMU_CONF = [
  ...['user = "root"', 'group = "root"', 'security_driver = "none"', 'cgroup_controllers = []', 'namespaces = []'],
  ...['stdio_handler = "file"', 'dynamic_ownership = 0', 'remember_owner = 0', ''],
].join('\n');

/** q35, a root port for each NIC, the same kernel, initramfs and agent. */
function domain(image: GuestImage, channels: readonly string[]): string {
  const ports = Array.from({ length: NIC_SLOTS + 2 }, () => "<controller type='pci' model='pcie-root-port'/>").join('');
  const agent = channels.map(
    (path, at) => `<channel type='unix'><source mode='bind' path='${path}'/>
      <target type='virtio' name='sh.hyper.channel.${at}'/></channel>`,
  );
  return `<domain type='qemu'><name>${DOMAIN}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type><kernel>${image.kernelPath}</kernel>
      <initrd>${image.initramfsPath}</initrd><cmdline>${tunedKernelArgs(image)}</cmdline></os>
    <features><acpi/></features><cpu mode='maximum'/>
    <devices><emulator>${findProgram('qemu-system-x86_64')}</emulator>
      <controller type='usb' model='none'/><controller type='pci' model='pcie-root'/>${ports}
      <controller type='virtio-serial'/>${agent.join('')}<memballoon model='none'/></devices></domain>`;
}

const nicXml = (bridge: string, mac: string) =>
  `<interface type='bridge'><source bridge='${bridge}'/><mac address='${mac}'/><model type='virtio'/></interface>`;

/** A guest like ours under a libvirtd in this process's namespaces, worked by virsh as a script would. */
export class LibvirtGuest {
  #mac = '';

  private constructor(
    private readonly daemon: ChildProcess,
    private readonly directory: TempDir,
    private readonly session: GuestSession,
  ) {}

  /** A string: why there is none here. */
  static async boot(image: GuestImage, signal: AbortSignal): Promise<LibvirtGuest | string> {
    const missing = ['libvirtd', 'virsh'].filter((program) => findProgram(program) === undefined);
    if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
    const directory = new TempDir();
    const daemon = startDaemon();
    try {
      await listening(daemon, signal);
      const channels = [0, 1].map((at) => join(directory.path, `channel${at}.sock`));
      const xml = join(directory.path, 'domain.xml');
      writeFileSync(xml, domain(image, channels));
      virsh('create', xml);
      return new LibvirtGuest(daemon, directory, await agentOf(channels, signal));
    } catch (error) {
      await stopDaemon(daemon);
      directory[Symbol.dispose]();
      throw error;
    }
  }

  async addNic(bridge: string, mac: string, address: string, signal: AbortSignal): Promise<void> {
    this.#mac = mac;
    const xml = join(this.directory.path, 'nic.xml');
    writeFileSync(xml, nicXml(bridge, mac));
    virsh('attach-device', DOMAIN, xml, '--live');
    const addAddresses = [{ address, prefixLength: 24 }];
    await this.session.setupInterface({ mac, expectedName: 'eth0', addAddresses, removeAddresses: [] }, { signal });
  }

  async removeNic(): Promise<void> {
    virsh('detach-interface', DOMAIN, 'bridge', '--mac', this.#mac, '--live');
    // It has only asked the guest.
    while (virsh('domiflist', DOMAIN).includes(this.#mac)) await delay(5);
  }

  async stop(): Promise<void> {
    await this.session.close();
    virsh('destroy', DOMAIN);
    await stopDaemon(this.daemon);
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
