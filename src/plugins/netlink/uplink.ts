import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { Rtnl } from './rtnl.js';
import { ensureNetSysctl, readNetSysctl } from './sysctl.js';

const AF_INET = 2;
const AF_INET6 = 10;
/** linux/rtnetlink.h. */
const RT_TABLE_MAIN = 254;
const RTPROT_RA = 9;
const ETHERNET_MTU = 1500;

/** The MTU of what leads out: of the named interface, or of the default route's of lowest metric; 1500 where there is none. */
export async function uplinkMtu(
  rtnl: Rtnl,
  name: string | undefined,
  options: CallOptions,
  otherwise = ETHERNET_MTU,
): Promise<number> {
  if (name !== undefined) {
    const link = await rtnl.link(name, options);
    if (link) return link.mtu;
    throw new HyperplugError(
      'NET_INIT_FAILED',
      `network.netlink.uplink: expected an interface, got ${JSON.stringify(name)}`,
      {
        details: { field: 'network.netlink.uplink', received: name },
      },
    );
  }
  for (const family of [AF_INET, AF_INET6] as const) {
    const [best] = (await rtnl.routes(family, options))
      .filter((route) => route.destination === undefined && route.prefixLength === 0 && route.table === RT_TABLE_MAIN)
      .sort((a, b) => a.metric - b.metric);
    const link = best && (await rtnl.links(options)).find(({ index }) => index === best.linkIndex);
    if (link) return link.mtu;
  }
  return otherwise;
}

/**
 * An uplink that has its IPv6 address and routes from router advertisements would lose them once this host forwards
 * (net.ipv6.conf.IF.accept_ra: 1 is "unless forwarding", 2 is "also then").
 */
export async function keepRouterAdvertisements(rtnl: Rtnl, options: CallOptions): Promise<void> {
  const learned = (await rtnl.routes(AF_INET6, options)).filter(
    ({ destination, prefixLength, protocol }) =>
      destination === undefined && prefixLength === 0 && protocol === RTPROT_RA,
  );
  const links = await rtnl.links(options);
  for (const { linkIndex } of learned) {
    const link = links.find(({ index }) => index === linkIndex);
    if (!link) continue;
    const key = `ipv6/conf/${link.name}/accept_ra`;
    if (readNetSysctl(rtnl.netnsPath, key) === '1') ensureNetSysctl(rtnl.netnsPath, key, '2');
  }
}
