import type { GuestNetwork, GuestNic, GuestNicConfig, GuestRoute } from '../../core/agent.js';
import type { CallOptions } from '../../core/calls.js';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { InterfaceAddress } from '../../core/network.js';
import { netmask, speaksIpv4 } from './addresses.js';
import type { NetworkCommands, SendJson } from './network-commands.js';
import { COMMAND } from './protocol.gen.js';

function ipv4Only(field: string, text: string): void {
  if (!speaksIpv4(text)) throw fieldError('NOT_SUPPORTED', field, 'IPv4 (all that an original hyperstart knows)', text);
}

/**
 * NICs by the name that the kernel is expected to give, and no word from the guest's kernel: an ACK says only that the
 * request was sent to it.
 */
export class OriginalNetwork implements NetworkCommands {
  /** MAC → name, of the NICs set up in this session. */
  readonly #names = new Map<string, string>();

  constructor(readonly send: SendJson) {}

  async setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    const { mac, expectedName, addAddresses, removeAddresses, mtu } = config;
    const name = config.name ?? expectedName;
    for (const { address } of [...addAddresses, ...removeAddresses]) ipv4Only('addresses', address);
    const wire =
      (sign: string) =>
      ({ address, prefixLength }: InterfaceAddress) => ({
        ipAddress: `${sign}${address}`,
        netMask: netmask(prefixLength),
      });
    const body = {
      device: expectedName,
      // Any other name than the device's own, the empty one too, makes it touch the link's flags.
      newDeviceName: name,
      // Removals first: that of a primary address takes its secondaries along.
      ipAddresses: [...removeAddresses.map(wire('-')), ...addAddresses.map(wire(''))],
      ...(mtu === undefined ? {} : { mtu }),
    };
    await this.send(COMMAND.SETUPINTERFACE, `setupInterface ${expectedName}`, body, options);
    this.#names.set(mac, name);
    return { name, mac, addresses: addAddresses };
  }

  async deleteInterface(
    { mac, expectedName }: { readonly mac: string; readonly expectedName: string },
    options: CallOptions,
  ): Promise<void> {
    const device = this.#names.get(mac) ?? expectedName;
    await this.send(COMMAND.DELETEINTERFACE, `deleteInterface ${device}`, { device }, options);
    this.#names.delete(mac);
  }

  async addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    if (routes.length === 0) return;
    await this.send(COMMAND.SETUPROUTE, 'addRoutes', { routes: routes.map((route) => this.#route(route)) }, options);
  }

  async removeRoutes(): Promise<void> {
    throw new HyperplugError('NOT_SUPPORTED', 'removeRoutes: an original hyperstart cannot remove routes');
  }

  async readNetwork(): Promise<GuestNetwork> {
    throw new HyperplugError('NOT_SUPPORTED', 'readNetwork: an original hyperstart cannot read its network back');
  }

  #route({ destination, gateway, mac, device, metric }: GuestRoute): object {
    ipv4Only('destination', destination);
    if (gateway !== undefined) ipv4Only('gateway', gateway);
    if (metric !== undefined) throw fieldError('NOT_SUPPORTED', 'metric', 'none with an original hyperstart', metric);
    const name = device ?? (mac === undefined ? undefined : this.#names.get(mac));
    if (mac !== undefined && name === undefined) {
      throw fieldError(
        'NOT_SUPPORTED',
        'mac',
        'that of a NIC set up in this session, with an original hyperstart',
        mac,
      );
    }
    return {
      dest: destination,
      ...(gateway === undefined ? {} : { gateway }),
      ...(name === undefined ? {} : { device: name }),
    };
  }
}
