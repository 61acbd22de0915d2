import type { CallOptions } from '../../core/calls.js';
import { RTM } from '../netlink/codec/messages.js';
import { NetlinkSocket } from '../netlink/socket.js';
import { UPLINK } from './slirp.js';

const AF_UNSPEC = 0;
/** Devices that packets of VMs come by. Bridges stay behind when the last of these has gone. */
const OF_VMS = ['tun', 'veth', 'macvtap'];

/** Names of the devices of VMs in this process's network namespace: also of VMs that are in namespaces of their own. */
export async function linksOfVms(call: CallOptions): Promise<readonly string[]> {
  const socket = new NetlinkSocket();
  try {
    const messages = await socket.dump('list links', { type: RTM.GETLINK, header: { family: AF_UNSPEC } }, call);
    return messages.flatMap(({ attributes }) => {
      const info = attributes.linkinfo as { readonly kind?: unknown } | undefined;
      const name = String(attributes.ifname);
      return OF_VMS.includes(String(info?.kind)) && name !== UPLINK ? [name] : [];
    });
  } finally {
    await socket.close();
  }
}
