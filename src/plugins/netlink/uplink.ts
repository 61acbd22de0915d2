import type { CallOptions } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { Rtnl } from './rtnl.js';

const AF_INET = 2;
const AF_INET6 = 10;
/** linux/rtnetlink.h. */
const RT_TABLE_MAIN = 254;
const ETHERNET_MTU = 1500;

/** The MTU of what leads out: of the named interface, or of the default route's of lowest metric; 1500 where there is none. */
export async function uplinkMtu(rtnl: Rtnl, name: string | undefined, options: CallOptions): Promise<number> {
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
  return ETHERNET_MTU;
}
