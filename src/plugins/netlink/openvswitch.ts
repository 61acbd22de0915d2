import type { CallOptions } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { hasCode } from '../../core/errors.js';
import { silentProgress } from '../../core/progress.js';
import { runCommand } from '../../host/command.js';
import type { ToolProvider } from '../../host/tools.js';
import type { Attachment } from './options.js';

type OvsAttachment = Extract<Attachment, { kind: 'openvswitch' }>;

export type CommandRunner = (argv: readonly string[], call: CallOptions) => Promise<string>;

/** Open vSwitch by ovs-vsctl(8): each change is one transaction of its database, and waits for the switch to carry it out. */
export class OpenVswitch {
  constructor(private readonly run: CommandRunner) {}

  /** The bridge and its internal interface of the same name. One that is there is taken only if it is this network's. */
  async ensureBridge(
    bridge: string,
    network: string,
    { bridgeOptions, vlan }: OvsAttachment,
    call: CallOptions,
  ): Promise<boolean> {
    const owner = await this.owner(bridge, call);
    const settings = [
      ...(bridgeOptions.length > 0 ? ['--', 'set', 'bridge', bridge, ...bridgeOptions] : []),
      // The gateway is in the VLAN of those that it is for.
      ...(vlan === undefined ? [] : ['--', 'set', 'port', bridge, `tag=${vlan}`]),
    ];
    const made = owner === undefined;
    const create = made ? ['add-br', bridge, '--', 'br-set-external-id', bridge, 'hyperplug-network', network] : [];
    const argv = [...create, ...settings];
    if (argv.length > 0) await this.#ovs(argv[0] === '--' ? argv.slice(1) : argv, call);
    return made;
  }

  /** The network whose bridge it is, `''`: somebody else's; undefined: there is none. */
  async owner(bridge: string, call: CallOptions): Promise<string | undefined> {
    const list = await this.#ovs(['list-br'], call);
    if (!list.split('\n').includes(bridge)) return undefined;
    return (await this.#ovs(['br-get-external-id', bridge, 'hyperplug-network'], call)).trim();
  }

  async removeBridge(bridge: string, call: CallOptions): Promise<void> {
    await this.#ovs(['--if-exists', 'del-br', bridge], call);
  }

  async addPort(bridge: string, port: string, { vlan, portOptions }: OvsAttachment, call: CallOptions): Promise<void> {
    const tag = vlan === undefined ? [] : [`tag=${vlan}`];
    const columns = [...tag, ...portOptions];
    const settings = columns.length > 0 ? ['--', 'set', 'port', port, ...columns] : [];
    // A port of that name may be left from a device that went without it.
    await this.#ovs(['--if-exists', 'del-port', port, '--', 'add-port', bridge, port, ...settings], call);
  }

  async removePort(bridge: string, port: string, call: CallOptions): Promise<void> {
    await this.#ovs(['--if-exists', 'del-port', bridge, port], call);
  }

  /** Whether the networks that are attached to it can be. */
  async diagnose(networks: readonly string[], call: CallOptions): Promise<Diagnosis> {
    const id = 'netlink.openvswitch';
    const whose = `for ${networks.join(', ')}`;
    try {
      const bridges = (await this.#ovs(['list-br'], call)).split('\n').filter(Boolean);
      return { id, status: 'ok', summary: `Open vSwitch answers ${whose}; it has ${bridges.length} bridges` };
    } catch (error) {
      if (!hasCode(error, 'HOST_TOOL_MISSING', 'HOST_COMMAND_FAILED')) throw error;
      const fix = hasCode(error, 'HOST_TOOL_MISSING')
        ? 'install Open vSwitch (openvswitch-switch in Debian), or take kind: openvswitch out of network.netlink.attach'
        : 'start Open vSwitch (ovsdb-server and ovs-vswitchd), and run as a user who may ask it: root';
      return { id, status: 'fail', summary: `Open vSwitch cannot be asked ${whose}: ${error.message}`, fix };
    }
  }

  #ovs(args: readonly string[], call: CallOptions): Promise<string> {
    return this.run(['--timeout=30', ...args], call);
  }
}

/** ovs-vsctl of the machine; the switch has to be in the backend's network namespace. */
export function ovsVsctl(tools: ToolProvider | undefined): CommandRunner {
  return async (argv, call) => {
    const tool = await tools?.locate('ovs-vsctl', { signal: call.signal, progress: silentProgress });
    const { stdout } = await runCommand([tool?.path ?? 'ovs-vsctl', ...argv], {
      signal: call.signal,
      ...(tool && { env: tool.env }),
    });
    return stdout;
  };
}
