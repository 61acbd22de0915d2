import { isIPv6 } from 'node:net';
import type { CallOptions } from '../../core/calls.js';
import type { PortMapping } from '../../core/network.js';
import type { Attributes } from '../../host/netlink/codec/attributes.js';
import { CTNETLINK, NLM_F } from '../../host/netlink/codec/messages.js';
import { refusedWith } from '../../host/netlink/errno.js';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../host/netlink/socket.js';

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_UDP = 17;

/**
 * Forgets the udp flows to these host ports. A flow that began before its mapping changed keeps the old translation for as
 * long as packets come; tcp begins anew by itself.
 */
export async function forgetUdpFlows(
  mappings: readonly PortMapping[],
  netnsPath: string | undefined,
  call: CallOptions,
): Promise<number> {
  const udp = mappings.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0) return 0;
  const socket = new NetlinkSocket(netnsPath, NETLINK_NETFILTER);
  try {
    let forgotten = 0;
    for (const family of new Set(udp.map(({ hostAddress }) => (isIPv6(hostAddress) ? AF_INET6 : AF_INET)))) {
      const flows = await socket.dump('list flows', { type: CTNETLINK.GET, header: { family } }, call);
      for (const { attributes } of flows) {
        if (!udp.some((mapping) => leadsTo(attributes.original as Attributes, mapping))) continue;
        const { original, zone, id } = attributes;
        const request = {
          type: CTNETLINK.DELETE,
          flags: NLM_F.REQUEST | NLM_F.ACK,
          header: { family },
          attributes: { original, zone, id },
        };
        await socket.request('forget flow', request, call).catch((error: unknown) => {
          // It ended by itself meanwhile.
          if (!refusedWith(error, 'ENOENT')) throw error;
        });
        forgotten++;
      }
    }
    return forgotten;
  } finally {
    await socket.close();
  }
}

function leadsTo(original: Attributes | undefined, { hostAddress, hostPort, count }: PortMapping): boolean {
  const { ip, protocol } = (original ?? {}) as { ip?: Attributes; protocol?: Attributes };
  const port = protocol?.destinationPort;
  if (protocol?.number !== IPPROTO_UDP || typeof port !== 'number') return false;
  if (port < hostPort || port >= hostPort + count) return false;
  const any = hostAddress === '0.0.0.0' || hostAddress === '::';
  return any || ip?.destination4 === hostAddress || ip?.destination6 === hostAddress;
}
