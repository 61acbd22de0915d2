import type { AnyPlugin } from './core/plugin.js';
import builtinNet from './plugins/builtin-net/index.js';
import hyperstart from './plugins/hyperstart/index.js';
import iptables from './plugins/iptables/index.js';
import { localAddressPool, localState } from './plugins/local/index.js';
import netlink from './plugins/netlink/index.js';
import noneFirewall from './plugins/none-firewall/index.js';
import qemu from './plugins/qemu/index.js';
import uml from './plugins/uml/index.js';

/** What comes with the package. Importing a plugin starts nothing and loads little. */
export const builtinPlugins = [
  qemu,
  uml,
  builtinNet,
  netlink,
  noneFirewall,
  iptables,
  hyperstart,
  localAddressPool,
  localState,
] as readonly AnyPlugin[];
