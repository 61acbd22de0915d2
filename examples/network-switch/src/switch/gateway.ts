/** IEEE 802: locally administered; every network may have the same, as they never meet. */
export const GATEWAY_MAC = Buffer.from([0x02, 0x73, 0x77, 0x00, 0x00, 0x01]);
const ETHERNET_BYTES = 14;
const [ARP, IPV4, ICMP] = [0x0806, 0x0800, 1];

/** What the gateway's address answers: ARP (RFC 826) and echo requests (RFC 792). undefined: nothing. */
export function gatewayAnswer(frame: Buffer, gateway: Buffer): Buffer | undefined {
  if (frame.length < ETHERNET_BYTES + 28) return undefined;
  const type = frame.readUInt16BE(12);
  if (type === ARP) return arpAnswer(frame, gateway);
  return type === IPV4 ? echoAnswer(frame, gateway) : undefined;
}

function arpAnswer(frame: Buffer, gateway: Buffer): Buffer | undefined {
  const request = frame.readUInt16BE(20) === 1 && frame.subarray(38, 42).equals(gateway);
  if (!request) return undefined;
  const answer = Buffer.from(frame.subarray(0, 42));
  frame.copy(answer, 0, 6, 12); // to who asked
  GATEWAY_MAC.copy(answer, 6);
  answer.writeUInt16BE(2, 20); // is-at
  GATEWAY_MAC.copy(answer, 22);
  gateway.copy(answer, 28);
  frame.copy(answer, 32, 22, 32); // sender's MAC and address
  return answer;
}

function echoAnswer(frame: Buffer, gateway: Buffer): Buffer | undefined {
  const ip = frame.subarray(ETHERNET_BYTES);
  const headerBytes = ((ip[0] ?? 0) & 15) * 4;
  const end = ip.readUInt16BE(2);
  const fits = headerBytes >= 20 && end >= headerBytes + 8 && end <= ip.length;
  const whole = (ip.readUInt16BE(6) & 0x3fff) === 0; // no fragment
  if (!fits || !whole || ip[9] !== ICMP || !ip.subarray(16, 20).equals(gateway) || ip[headerBytes] !== 8)
    return undefined;
  const answer = Buffer.from(frame.subarray(0, ETHERNET_BYTES + end));
  frame.copy(answer, 0, 6, 12);
  GATEWAY_MAC.copy(answer, 6);
  const out = answer.subarray(ETHERNET_BYTES);
  ip.copy(out, 12, 16, 20); // addresses change places, which leaves the header's sum as it is
  ip.copy(out, 16, 12, 16);
  const icmp = out.subarray(headerBytes);
  icmp[0] = 0; // echo reply
  icmp.writeUInt16BE(0, 2);
  icmp.writeUInt16BE(internetChecksum(icmp), 2);
  return answer;
}

/** RFC 1071. */
export function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
