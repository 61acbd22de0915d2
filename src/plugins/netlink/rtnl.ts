import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { InterfaceAddress } from '../../core/network.js';
import { type Attributes, familyOf, rowsOf } from '../../host/netlink/codec/attributes.js';
import { encodeBody, type Message, NLM_F, RTM } from '../../host/netlink/codec/messages.js';
import { LINK } from '../../host/netlink/codec/tables.js';
import { refusedWith } from '../../host/netlink/errno.js';
import { NetlinkSocket } from '../../host/netlink/socket.js';

const IFF_UP = 1;
const AF_UNSPEC = 0;
const AF_BRIDGE = 7;
/** linux/rtnetlink.h. */
const RTEXT_FILTER_SKIP_STATS = 8;
const CREATE = NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;
const CHANGE = NLM_F.REQUEST | NLM_F.ACK;
/** linux/if_addr.h: a duplicate-address check would keep the address unusable for a second. */
const IFA_F_NODAD = 0x02;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac: string | undefined;
  readonly mtu: number;
  readonly up: boolean;
  readonly master: number | undefined;
  /** Index of the device it stands on (macvtap, vlan). */
  readonly parent: number | undefined;
  readonly alias: string | undefined;
  readonly group: number;
  /** `bridge`, `tun`, `veth`, …; undefined: hardware and loopback. */
  readonly kind: string | undefined;
  /** Of a tap that may be opened several times: how often it is. undefined: it is none such. */
  readonly openQueues: number | undefined;
  /** Of this device: a tap receives what its VM sends. */
  readonly counters: LinkCounters | undefined;
}

/** Of a device that became a port. */
export type PortLook = Partial<Pick<Link, 'master' | 'mtu' | 'alias'>> & Pick<Link, 'up'>;

export interface LinkCounters {
  readonly receivedPackets: number;
  readonly sentPackets: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface Route {
  readonly family: 2 | 10;
  /** undefined: default. */
  readonly destination: string | undefined;
  readonly prefixLength: number;
  readonly gateway: string | undefined;
  readonly linkIndex: number | undefined;
  readonly metric: number;
  readonly table: number;
  /** RTPROT_*: who set it. */
  readonly protocol: number;
}

/** What can be set on a link in one message. */
export interface LinkChange {
  readonly name?: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly up?: boolean;
  /** 0: none. */
  readonly master?: number;
  readonly alias?: string;
  readonly group?: number;
}

/** Of a bridge port. Isolated: it reaches only ports that are not. Hairpin: frames may leave where they came in. */
export interface PortFlags {
  readonly isolated?: boolean;
  readonly hairpin?: boolean;
}

const PORT_ROWS = rowsOf(LINK, 'master', 'mtu', 'ifalias');

/** The rtnetlink requests that networks are made of; each returns when the kernel has acknowledged it. */
export class Rtnl {
  readonly #socket: NetlinkSocket;

  /** @param netnsPath the network namespace it works in; undefined: this process's. */
  constructor(readonly netnsPath?: string) {
    this.#socket = new NetlinkSocket(netnsPath);
  }

  async links(options: CallOptions): Promise<Link[]> {
    const messages = await this.#socket.dump(
      'list links',
      { type: RTM.GETLINK, header: { family: AF_UNSPEC } },
      options,
    );
    return messages.flatMap((message) => linkOf(message) ?? []);
  }

  async link(name: string, options: CallOptions): Promise<Link | undefined> {
    try {
      const request = { type: RTM.GETLINK, flags: CHANGE, attributes: { ifname: name } };
      const [message] = await this.#socket.request(`link ${name}`, request, briefly(options));
      return message ? linkOf(message) : undefined;
    } catch (error) {
      if (refusedWith(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  /**
   * The alias needs a second message, for the kernel ignores one at creation; if it is refused the link is deleted.
   * @throws NET_KERNEL_REFUSED with EEXIST for a name in use.
   */
  async createLink(
    kind: string,
    name: string,
    change: LinkChange,
    data: Attributes | undefined,
    options: CallOptions,
    parent?: number,
  ): Promise<void> {
    const { alias, ...rest } = change;
    const attributes = { ...attributesOf({ ...rest, name }), link: parent, linkinfo: { kind, data } };
    const request = { type: RTM.NEWLINK, flags: CREATE, header: flagsOf(change), attributes };
    await this.#socket.request(`create ${kind} ${name}`, request, options);
    if (alias === undefined) return;
    try {
      const message = { type: RTM.NEWLINK, flags: CHANGE, attributes: { ifname: name, ifalias: alias } };
      await this.#socket.request(`alias of ${name}`, message, options);
    } catch (error) {
      await this.#unlessGone(
        `delete ${name}`,
        { type: RTM.DELLINK, flags: CHANGE, attributes: { ifname: name } },
        { signal: new AbortController().signal },
        'ENODEV',
      );
      throw error;
    }
  }

  /** Two ends of a cable. `netnsFd` puts the second into another network namespace. */
  async createVeth(
    name: string,
    peer: Pick<LinkChange, 'mtu'> & { readonly name: string; readonly netnsFd?: number },
    options: CallOptions,
  ): Promise<void> {
    const { netnsFd, ...change } = peer;
    const body = encodeBody(RTM.NEWLINK, {}, { ...attributesOf(change), netnsFd });
    const attributes = { ifname: name, linkinfo: { kind: 'veth', data: { peer: body } } };
    const request = { type: RTM.NEWLINK, flags: CREATE, attributes };
    await this.#socket.request(`create veth ${name}`, request, briefly(options));
  }

  /** All changes in one message. Only the flags that are meant are touched. */
  async changeLink(index: number, change: LinkChange, options: CallOptions): Promise<void> {
    const request = {
      type: RTM.NEWLINK,
      flags: CHANGE,
      header: { index, ...flagsOf(change) },
      attributes: attributesOf(change),
    };
    // Taking a link down, or off its bridge, waits for those who read it.
    const waits = change.up === false || change.master === 0;
    await this.#socket.request(`change link ${change.name ?? index}`, request, waits ? options : briefly(options));
  }

  /**
   * Puts a device on a bridge, with all that it needs, and looks at it, in one message to the kernel.
   * @returns what the device is then; undefined: there is no such bridge.
   * @throws NET_KERNEL_REFUSED why the change was refused.
   */
  async attachPort(
    master: number,
    device: string,
    change: Omit<LinkChange, 'name' | 'master'>,
    flags: PortFlags,
    options: CallOptions,
  ): Promise<PortLook | undefined> {
    // What the changes did is what the look shows; a refusal is told anyway.
    const message = { type: RTM.NEWLINK, flags: NLM_F.REQUEST };
    const changes = [
      { ...message, header: flagsOf(change), attributes: { ...attributesOf({ ...change, master }), ifname: device } },
      ...(flags.isolated || flags.hairpin
        ? [{ ...message, attributes: { ifname: device, linkinfo: portInfo(flags) } }]
        : []),
    ];
    const extMask = RTEXT_FILTER_SKIP_STATS;
    const look = { type: RTM.GETLINK, flags: NLM_F.REQUEST, attributes: { ifname: device, extMask } };
    const shown = { ...briefly(options), shown: PORT_ROWS };
    const answers = await this.#socket.requests(`port ${device}`, [...changes, look], shown);
    const refused = answers.find((answer) => answer instanceof HyperplugError);
    if (refused && refusedWith(refused, 'EINVAL', 'ENODEV') && !(await this.#exists(master, options))) return undefined;
    if (refused) throw refused;
    const [seen] = answers.at(-1) as Message[];
    if (!seen) return undefined;
    const { master: bridge, mtu, ifalias } = seen.attributes;
    return {
      master: bridge as number | undefined,
      mtu: mtu as number | undefined,
      alias: ifalias as string | undefined,
      up: isUp(seen.header),
    };
  }

  async #exists(index: number, options: CallOptions): Promise<boolean> {
    return this.#unlessGone(
      `link ${index}`,
      { type: RTM.GETLINK, flags: CHANGE, header: { index } },
      options,
      'ENODEV',
    );
  }

  async changePort(index: number, flags: PortFlags, options: CallOptions): Promise<void> {
    await this.#socket.request(
      `change port ${index}`,
      {
        type: RTM.NEWLINK,
        flags: CHANGE,
        header: { index },
        attributes: { linkinfo: portInfo(flags) },
      },
      options,
    );
  }

  /** False: it was not there. */
  async deleteLink(index: number, options: CallOptions): Promise<boolean> {
    return this.#unlessGone(
      `delete link ${index}`,
      { type: RTM.DELLINK, flags: CHANGE, header: { index } },
      options,
      'ENODEV',
    );
  }

  /** Every link of an IFLA_GROUP at once: the kernel waits for its readers only once. */
  async deleteGroup(group: number, options: CallOptions): Promise<boolean> {
    return this.#unlessGone(
      `delete group ${group}`,
      { type: RTM.DELLINK, flags: CHANGE, attributes: { group } },
      options,
      'ENODEV',
    );
  }

  async addresses(index: number, options: CallOptions): Promise<InterfaceAddress[]> {
    const all = await this.everyAddress(options);
    return all.filter((each) => each.index === index).map(({ address, prefixLength }) => ({ address, prefixLength }));
  }

  /** Of all links. */
  async everyAddress(options: CallOptions): Promise<(InterfaceAddress & { readonly index: number })[]> {
    const messages = await this.#socket.dump('list addresses', { type: RTM.GETADDR, header: {} }, options);
    return messages.map(({ header, attributes }) => ({
      // A point-to-point address has the peer in IFA_ADDRESS.
      address: String(attributes.local ?? attributes.address),
      prefixLength: header.prefixLength ?? 0,
      index: header.index ?? 0,
    }));
  }

  /** @throws NET_KERNEL_REFUSED with EEXIST when the link has it. */
  async addAddress(index: number, { address, prefixLength }: InterfaceAddress, options: CallOptions): Promise<void> {
    const family = familyOf(address);
    const attributes = { local: address, address, flags: family === 10 ? IFA_F_NODAD : undefined };
    const request = { type: RTM.NEWADDR, flags: CREATE, header: { family, prefixLength, index }, attributes };
    await this.#socket.request(`add address ${address}/${prefixLength}`, request, options);
  }

  async deleteAddress(
    index: number,
    { address, prefixLength }: InterfaceAddress,
    options: CallOptions,
  ): Promise<boolean> {
    const request = {
      type: RTM.DELADDR,
      flags: CHANGE,
      header: { family: familyOf(address), prefixLength, index },
      attributes: { local: address, address },
    };
    return this.#unlessGone(`delete address ${address}/${prefixLength}`, request, options, 'EADDRNOTAVAIL');
  }

  async routes(family: 2 | 10, options: CallOptions): Promise<Route[]> {
    const messages = await this.#socket.dump('list routes', { type: RTM.GETROUTE, header: { family } }, options);
    return messages.map(({ header, attributes }) => ({
      family,
      destination: attributes.destination as string | undefined,
      prefixLength: header.destinationLength ?? 0,
      gateway: attributes.gateway as string | undefined,
      linkIndex: attributes.outgoing as number | undefined,
      metric: (attributes.priority as number | undefined) ?? 0,
      table: (attributes.table as number | undefined) ?? header.table ?? 0,
      protocol: header.protocol ?? 0,
    }));
  }

  /** Static forwarding entries and learned ones of a bridge. */
  async forwardingTable(bridge: number, options: CallOptions): Promise<{ mac: string; port: number }[]> {
    const messages = await this.#socket.dump(
      'list forwarding table',
      { type: RTM.GETNEIGH, header: { family: AF_BRIDGE } },
      options,
    );
    return messages.flatMap(({ header, attributes }) =>
      attributes.master === bridge && typeof attributes.lladdr === 'string'
        ? [{ mac: attributes.lladdr, port: header.index ?? 0 }]
        : [],
    );
  }

  close(): Promise<void> {
    return this.#socket.close();
  }

  async #unlessGone(
    what: string,
    request: Parameters<NetlinkSocket['request']>[1],
    options: CallOptions,
    gone: string,
  ): Promise<boolean> {
    try {
      await this.#socket.request(what, request, options);
      return true;
    } catch (error) {
      if (refusedWith(error, gone)) return false;
      throw error;
    }
  }
}

const briefly = (options: CallOptions) => ({ signal: options.signal, brief: true });

function portInfo({ isolated, hairpin }: PortFlags): Attributes {
  const number = (flag: boolean | undefined) => (flag === undefined ? undefined : Number(flag));
  return { slaveKind: 'bridge', slaveData: { isolated: number(isolated), mode: number(hairpin) } };
}

function attributesOf(change: LinkChange): Attributes {
  return {
    ifname: change.name,
    address: change.mac,
    mtu: change.mtu,
    master: change.master,
    ifalias: change.alias,
    group: change.group,
  };
}

function flagsOf(change: LinkChange): Record<string, number> {
  return change.up === undefined ? {} : { flags: change.up ? IFF_UP : 0, change: IFF_UP };
}

const isUp = ({ flags = 0 }: Message['header']): boolean => (flags & IFF_UP) !== 0;

function linkOf({ type, header, attributes }: Message): Link | undefined {
  if (type !== RTM.NEWLINK || typeof attributes.ifname !== 'string') return undefined;
  const info = attributes.linkinfo as Attributes | undefined;
  return {
    index: header.index ?? 0,
    name: attributes.ifname,
    mac: attributes.address as string | undefined,
    mtu: (attributes.mtu as number | undefined) ?? 0,
    up: isUp(header),
    master: attributes.master as number | undefined,
    parent: attributes.link as number | undefined,
    alias: attributes.ifalias as string | undefined,
    group: (attributes.group as number | undefined) ?? 0,
    kind: info?.kind as string | undefined,
    openQueues: openQueuesOf(info?.data as Attributes | undefined),
    counters: countersOf(attributes.stats64),
  };
}

/** linux/if_link.h: IFLA_TUN_NUM_QUEUES is there where IFLA_TUN_MULTI_QUEUE is set. */
const openQueuesOf = (data: Attributes | undefined): number | undefined =>
  data?.multiQueue === 1 ? ((data.numQueues as number | undefined) ?? 0) : undefined;

/** linux/if_link.h: rtnl_link_stats64 begins with rx_packets, tx_packets, rx_bytes, tx_bytes. */
function countersOf(stats: unknown): LinkCounters | undefined {
  if (!Buffer.isBuffer(stats) || stats.length < 32) return undefined;
  const at = (index: number) => Number(stats.readBigUInt64LE(index * 8));
  return { receivedPackets: at(0), sentPackets: at(1), receivedBytes: at(2), sentBytes: at(3) };
}
