import { fieldError, HyperplugError } from '../../core/errors.js';
import type { BuiltinEndpoint, BuiltinFamily, PortForward } from '../../core/hypervisor.js';

/** slirp4netns(1), --cidr: prefixes from 1 to 25; its own addresses are the second and the third. */
const LONGEST_PREFIX = 25;
const GATEWAY_OFFSET = 2;
const DNS_OFFSET = 3;

/** @throws NOT_SUPPORTED, VM_SPEC_INVALID: what slirp4netns cannot be. */
export function checkUserNetwork({ ipv4, ipv6, restricted, forwards }: BuiltinEndpoint): BuiltinFamily {
  if (ipv6) throw unsupported('IPv6 in the user-mode network: slirp4netns has one fixed prefix');
  if (restricted) throw unsupported('a restricted user-mode network');
  if (!ipv4) throw unsupported('a user-mode network without IPv4');
  const [base = '', prefix = ''] = ipv4.subnet.split('/');
  if (Number(prefix) > LONGEST_PREFIX) {
    throw fieldError('VM_SPEC_INVALID', 'subnet', `a prefix of at most ${LONGEST_PREFIX} (slirp4netns)`, ipv4.subnet);
  }
  for (const [field, offset] of [
    ['gateway', GATEWAY_OFFSET],
    ['dns', DNS_OFFSET],
  ] as const) {
    const own = addressAt(base, offset);
    if (ipv4[field] !== own) throw fieldError('VM_SPEC_INVALID', field, `${own} (slirp4netns's own)`, ipv4[field]);
  }
  for (const forward of forwards) checkForward(forward);
  return ipv4;
}

export function checkForward(forward: PortForward): void {
  for (const field of ['hostAddress', 'guestAddress'] as const) {
    if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(forward[field])) throw unsupported(`${field} ${forward[field]}: not IPv4`);
  }
}

function addressAt(base: string, offset: number): string {
  const number = base.split('.').reduce((sum, part) => sum * 256 + Number(part), 0) + offset;
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}

const unsupported = (what: string) => new HyperplugError('NOT_SUPPORTED', `the uml driver does not have: ${what}`);
