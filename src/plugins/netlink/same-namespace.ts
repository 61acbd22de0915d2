import { statSync } from 'node:fs';
import { HyperplugError } from '../../core/errors.js';
import type { Firewall } from '../../core/firewall.js';

const OWN = '/proc/self/ns/net';

/**
 * Bridges in one network namespace and their rules in another would be networks without rules.
 * @throws CONFIG_INVALID naming both. A namespace that cannot be looked at is told by whoever has to enter it.
 */
export function refuseOtherNamespace(netns: string | undefined, firewall: Firewall): void {
  if (!firewall.capabilities.enforces || !('netnsPath' in firewall)) return;
  const { netnsPath } = firewall;
  const [mine, theirs] = [identity(netns), identity(netnsPath)];
  if (mine === undefined || theirs === undefined || mine === theirs) return;
  const expected = netns ?? 'nothing, as network.netlink.netns is not set';
  throw new HyperplugError(
    'CONFIG_INVALID',
    `firewall.${firewall.name}.netns: expected ${expected}, got ${netnsPath ?? 'nothing'}: bridges and rules belong into one network namespace`,
    { details: { field: `firewall.${firewall.name}.netns`, expected: netns, received: netnsPath } },
  );
}

/** By what it is, not by its name: /run and /var/run may be one folder. */
function identity(path: string | undefined): string | undefined {
  const found = statSync(path ?? OWN, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}
