import { table } from './attributes.js';

/** linux/if_link.h: IFLA_BR_*. */
const BRIDGE = table({
  1: ['forwardDelay', 'u32'],
  2: ['helloTime', 'u32'],
  4: ['ageingTime', 'u32'],
  5: ['stpState', 'u32'],
  7: ['vlanFiltering', 'u8'],
  22: ['mcastRouter', 'u8'],
  23: ['mcastSnooping', 'u8'],
});

/** IFLA_TUN_*. */
const TUN = table({
  1: ['owner', 'u32'],
  2: ['group', 'u32'],
  3: ['type', 'u8'],
  4: ['pi', 'u8'],
  5: ['vnetHdr', 'u8'],
  6: ['persist', 'u8'],
  7: ['multiQueue', 'u8'],
  8: ['numQueues', 'u32'],
  9: ['numDisabledQueues', 'u32'],
});

/** IFLA_MACVLAN_*, for macvtap too. */
const MACVLAN = table({ 1: ['mode', 'u32'], 2: ['flags', 'u16'] });

/** IFLA_VXLAN_*. */
const VXLAN = table({
  1: ['id', 'u32'],
  2: ['group', 'ip'],
  3: ['link', 'u32'],
  4: ['local', 'ip'],
  5: ['ttl', 'u8'],
  7: ['learning', 'u8'],
  15: ['port', 'u16be'],
});

/** IFLA_BRPORT_*. */
const BRIDGE_PORT = table({
  1: ['state', 'u8'],
  4: ['mode', 'u8'],
  8: ['learning', 'u8'],
  9: ['unicastFlood', 'u8'],
  33: ['isolated', 'u8'],
});

const LINK_FIELDS = {
  1: ['address', 'mac'],
  2: ['broadcast', 'mac'],
  3: ['ifname', 'string'],
  4: ['mtu', 'u32'],
  5: ['link', 's32'],
  10: ['master', 'u32'],
  13: ['txqlen', 'u32'],
  16: ['operstate', 'u8'],
  19: ['netnsPid', 'u32'],
  20: ['ifalias', 'string'],
  // struct rtnl_link_stats64
  23: ['stats64', 'binary'],
  27: ['group', 'u32'],
  28: ['netnsFd', 'u32'],
  29: ['extMask', 'u32'],
  31: ['numTxQueues', 'u32'],
  32: ['numRxQueues', 'u32'],
  50: ['minMtu', 'u32'],
  51: ['maxMtu', 'u32'],
} as const;

/** A veth's peer is a whole link message: an ifinfomsg and attributes; it is given and read as bytes. */
const VETH = table({ 1: ['peer', 'binary'] });

const LINK_INFO = table({
  1: ['kind', 'string'],
  2: [
    'data',
    {
      nestedBy: 'kind',
      tables: { bridge: BRIDGE, tun: TUN, veth: VETH, vxlan: VXLAN, macvlan: MACVLAN, macvtap: MACVLAN },
    },
  ],
  4: ['slaveKind', 'string'],
  5: ['slaveData', { nestedBy: 'slaveKind', tables: { bridge: BRIDGE_PORT } }],
});

/** linux/if_link.h: IFLA_*. */
export const LINK = table({ ...LINK_FIELDS, 18: ['linkinfo', { nested: LINK_INFO }] });

/** linux/if_addr.h: IFA_*. */
export const ADDRESS = table({
  1: ['address', 'ip'],
  2: ['local', 'ip'],
  3: ['label', 'string'],
  4: ['broadcast', 'ip'],
  8: ['flags', 'u32'],
});

/** linux/rtnetlink.h: RTA_*. */
export const ROUTE = table({
  1: ['destination', 'ip'],
  4: ['outgoing', 'u32'],
  5: ['gateway', 'ip'],
  6: ['priority', 'u32'],
  7: ['preferredSource', 'ip'],
  8: ['metrics', { nested: table({ 2: ['mtu', 'u32'] }) }],
  15: ['table', 'u32'],
});

/** linux/neighbour.h: NDA_*. */
export const NEIGHBOUR = table({ 1: ['destination', 'ip'], 2: ['lladdr', 'mac'], 9: ['master', 'u32'] });

/** linux/netfilter/nfnetlink_conntrack.h: CTA_TUPLE_*. */
const FLOW_TUPLE = table({
  1: [
    'ip',
    {
      nested: table({
        1: ['source4', 'ip'],
        2: ['destination4', 'ip'],
        3: ['source6', 'ip'],
        4: ['destination6', 'ip'],
      }),
    },
  ],
  2: [
    'protocol',
    {
      nested: table({
        1: ['number', 'u8'],
        2: ['sourcePort', 'u16be'],
        3: ['destinationPort', 'u16be'],
        4: ['icmpId', 'u16be'],
        5: ['icmpType', 'u8'],
        6: ['icmpCode', 'u8'],
      }),
    },
  ],
});

/** CTA_*. */
export const FLOW = table({
  1: ['original', { nested: FLOW_TUPLE }],
  2: ['reply', { nested: FLOW_TUPLE }],
  12: ['id', 'binary'],
  18: ['zone', 'u16be'],
});

/** linux/netlink.h: NLMSGERR_ATTR_*. */
export const EXTENDED_ACK = table({ 1: ['message', 'string'], 2: ['offset', 'u32'], 3: ['cookie', 'binary'] });
