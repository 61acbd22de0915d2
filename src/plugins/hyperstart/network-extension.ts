import type { GuestNetwork, GuestNic, GuestNicConfig, GuestRoute } from '../../core/agent.js';
import type { CallOptions } from '../../core/calls.js';
import type { InterfaceAddress } from '../../core/network.js';
import { canonicalAddress, sameAddress } from './addresses.js';
import { refused } from './dialect.js';
import type { NetworkCommands, SendJson } from './network-commands.js';
import { COMMAND } from './protocol.gen.js';
import { guestText, type LinkBody, parseLink, parseNetwork } from './schemas.js';

const LOOPBACK = 'lo';

/** Wraps parsing, so that a malformed answer ends the session. */
export type Parse = <T>(parser: () => T) => T;

const wireAddress = ({ address, prefixLength }: InterfaceAddress) => ({ ipAddress: address, prefix: prefixLength });

const wireRoute = ({ destination, gateway, mac, device, metric }: GuestRoute) => ({
  dest: destination,
  ...(gateway === undefined ? {} : { gateway }),
  ...(mac === undefined ? (device === undefined ? {} : { device }) : { mac }),
  ...(metric === undefined ? {} : { metric }),
});

function toNic({ name, index, mac, mtu, up, addresses }: LinkBody): GuestNic {
  return {
    name: guestText(name),
    index,
    mac: guestText(mac).toLowerCase(),
    mtu,
    up,
    addresses: addresses.map(({ address, prefix }) => ({
      address: canonicalAddress(guestText(address)),
      prefixLength: prefix,
    })),
  };
}

/** What was asked for and is not so, in words. */
function differences(asked: GuestNicConfig, nic: GuestNic): string[] {
  const wrong: string[] = [];
  const compare = (field: string, expected: unknown, seen: unknown) => {
    if (expected !== undefined && expected !== seen)
      wrong.push(`${field}: expected ${expected}, the guest has ${seen}`);
  };
  const text = ({ address, prefixLength }: InterfaceAddress) => `${address}/${prefixLength}`;
  compare('mac', asked.mac.toLowerCase(), nic.mac);
  compare('name', asked.name, nic.name);
  compare('mtu', asked.mtu, nic.mtu);
  compare('up', true, nic.up);
  for (const address of asked.addAddresses) {
    if (!nic.addresses.some((has) => sameAddress(has, address))) wrong.push(`addresses: ${text(address)} is missing`);
  }
  for (const address of asked.removeAddresses) {
    if (nic.addresses.some((has) => sameAddress(has, address)))
      wrong.push(`addresses: ${text(address)} is still there`);
  }
  return wrong;
}

/** NICs by MAC, read back and compared. */
export class ExtensionNetwork implements NetworkCommands {
  constructor(
    readonly send: SendJson,
    readonly parse: Parse,
    readonly nicTimeoutMs: number,
  ) {}

  async setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    const what = `setupInterface ${config.mac}`;
    const body = {
      // The agent looks for no loopback by its MAC, which is all zeros.
      ...(config.expectedName === LOOPBACK ? { device: LOOPBACK } : { mac: config.mac }),
      ...(config.name === undefined ? {} : { newDeviceName: config.name }),
      ...(config.mtu === undefined ? {} : { mtu: config.mtu }),
      ipAddresses: config.addAddresses.map(wireAddress),
      ...(config.removeAddresses.length === 0 ? {} : { removeAddresses: config.removeAddresses.map(wireAddress) }),
      timeoutMs: this.nicTimeoutMs,
    };
    const answer = await this.send(COMMAND.SETUPINTERFACE, what, body, options);
    const nic = toNic(this.parse(() => parseLink(answer, what)));
    const wrong = differences(config, nic);
    if (wrong.length > 0) {
      throw refused(what, `acknowledged, but read back otherwise: ${wrong.join('; ')}`, { differences: wrong });
    }
    return nic;
  }

  async deleteInterface({ mac }: { readonly mac: string }, options: CallOptions): Promise<void> {
    await this.send(COMMAND.DELETEINTERFACE, `deleteInterface ${mac}`, { mac }, options);
  }

  async addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    if (routes.length === 0) return;
    await this.send(COMMAND.SETUPROUTE, 'addRoutes', { routes: routes.map(wireRoute) }, options);
  }

  async removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    if (routes.length === 0) return;
    await this.send(COMMAND.DELETEROUTE, 'removeRoutes', { routes: routes.map(wireRoute) }, options);
  }

  async readNetwork(options: CallOptions): Promise<GuestNetwork> {
    const answer = await this.send(COMMAND.GETNETWORK, 'readNetwork', {}, options);
    const { links, routes } = this.parse(() => parseNetwork(answer, 'readNetwork'));
    return {
      links: links.map(toNic),
      routes: routes.map(({ dest, gateway, device, metric }) => ({
        destination: guestText(dest),
        ...(gateway === undefined ? {} : { gateway: canonicalAddress(guestText(gateway)) }),
        ...(device === undefined ? {} : { device: guestText(device) }),
        ...(metric === undefined ? {} : { metric }),
      })),
    };
  }
}
