import { type ChildProcess, spawn } from 'node:child_process';
import { close } from 'node:fs';
import { join } from 'node:path';
import type { GuestSession } from '../../src/core/agent.js';
import type { GuestImage } from '../../src/core/guest-image.js';
import { HyperstartAgent } from '../../src/plugins/hyperstart/agent.js';
import { Rtnl } from '../../src/plugins/netlink/rtnl.js';
import { openTap } from '../../src/plugins/netlink/tap.js';
import { bareQemu, QEMU, tunedKernelArgs } from './bare-qemu.js';
import { BareQmp, connected } from './bare-qmp.js';
import { BareShell, SHELL_LOOP } from './bare-shell.js';
import { drain } from './streams.js';

const SLOTS = 4;
const CHANNELS = ['sh.hyper.channel.0', 'sh.hyper.channel.1', 'bench'];
const channelPath = (directory: string, at: number) => join(directory, `c${at}.sock`);
/** What is slow to set up in the guest is off. */
const LIGHT = Object.fromEntries(
  ['vq', 'rx', 'vlan', 'rx_extra', 'mac_addr', 'guest_offloads'].map((name) => [`ctrl_${name}`, false]),
);

/** The arguments of a machine like ours: a root port for each NIC, the agent's two ports and another one as sockets. */
function machine(image: GuestImage, directory: string): string[] {
  const ports = Array.from({ length: SLOTS }, (_, slot) => [
    '-device',
    `pcie-root-port,id=slot${slot},bus=pcie.0,chassis=${slot + 1},slot=${slot + 1}`,
  ]);
  const channels = CHANNELS.map((name, at) => [
    ...['-chardev', `socket,id=c${at},path=${channelPath(directory, at)},server=on,wait=off`],
    ...['-device', `virtserialport,bus=s.0,nr=${at + 1},chardev=c${at},name=${name}`],
  ]);
  const devices = ['-serial', 'null', '-qmp', `unix:${join(directory, 'qmp.sock')},server=on,wait=off`];
  const serial = ['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci,id=s,max_ports=4'];
  return bareQemu(image, tunedKernelArgs(image), [...devices, ...serial, ...channels.flat(), ...ports.flat()]);
}

/** Connects to the agent in a guest whose channels are sockets, when it is ready; `resumed`: it was long ago. */
export async function agentOf(paths: readonly string[], signal: AbortSignal, resumed = false): Promise<GuestSession> {
  const channels = await Promise.all(paths.map((path) => connected(path, signal)));
  return new HyperstartAgent({ nicTimeoutMs: 10_000 }).connect(
    { channels, creditWindowBytes: null, resumed },
    { signal },
  );
}

/** QEMU with the guest of ours, worked by hand: what has to be done for a NIC and nothing besides. */
export class BareGuest {
  readonly #rtnl = new Rtnl();
  #serial = 0;

  private constructor(
    private readonly child: ChildProcess,
    private readonly directory: string,
    readonly qmp: BareQmp,
    readonly session: GuestSession,
  ) {}

  static async boot(image: GuestImage, directory: string, signal: AbortSignal): Promise<BareGuest> {
    const child = spawn(QEMU, machine(image, directory), { stdio: ['ignore', 'ignore', 'inherit'] });
    try {
      const qmp = await BareQmp.connect(join(directory, 'qmp.sock'), signal);
      const paths = [0, 1].map((at) => channelPath(directory, at));
      return new BareGuest(child, directory, qmp, await agentOf(paths, signal));
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** A tap on the bridge, its descriptor, backend and device, and the guest's side by its MAC. */
  async addNic(bridge: string, mac: string, address: string, signal: AbortSignal): Promise<void> {
    const name = `bare${this.#serial++}`;
    const tap = openTap(name, 1, undefined);
    const master = (await this.#rtnl.link(bridge, { signal }))?.index ?? 0;
    await this.#rtnl.attachPort(master, name, { up: true }, {}, { signal });
    await this.qmp.execute('getfd', { fdname: 'tap' }, tap.fds);
    for (const fd of tap.fds) close(fd, () => {});
    await this.qmp.execute('netdev_add', { type: 'tap', id: 'n', fd: 'tap', vhost: false });
    const device = {
      driver: 'virtio-net-pci',
      id: 'nic',
      netdev: 'n',
      bus: 'slot0',
      romfile: '',
      guest_announce: false,
    };
    await this.qmp.execute('device_add', { ...device, mac, ctrl_vq: false, ...LIGHT });
    const addAddresses = [{ address, prefixLength: 24 }];
    await this.session.setupInterface({ mac, expectedName: 'eth0', addAddresses, removeAddresses: [] }, { signal });
  }

  async removeNic(): Promise<void> {
    await this.qmp.removeDevice('nic');
    await this.qmp.execute('netdev_del', { id: 'n' });
  }

  /** A shell in the guest that works the third port. */
  async shell(signal: AbortSignal): Promise<BareShell> {
    const port = await connected(channelPath(this.directory, 2), signal);
    const script = `set -- /dev/vport*p3; exec 0<>$1 1>&0; echo; ${SHELL_LOOP}`;
    await this.session.exec(
      { argv: ['sh', '-c', script], env: {}, workingDirectory: '/', terminal: false },
      { signal },
    );
    await drain(port, 1);
    return new BareShell(port, port, () => port.destroy());
  }

  async stop(): Promise<void> {
    await this.session.close();
    this.qmp.close();
    this.child.kill('SIGKILL');
    await this.#rtnl.close();
  }
}
