import { throwIfAborted, type UserCallOptions, withDeadline, withGrace } from './calls.js';
import { HyperplugError, isHyperplugError } from './errors.js';
import type { HypervisorDriver } from './hypervisor.js';
import type { NetworkBackend, NetworkSpec } from './network.js';

const DEFAULT_TIMEOUT_MS = 60_000;

/**
 * The original's Daemon.initNetworks, with its branch on BuildinNetwork(): where the backend's network is the
 * hypervisor's own, the driver initialises it and the backend only checks the specifications (and knows them from then
 * on); otherwise the backend makes the networks and the driver is not asked. That the driver could bring a network of its
 * own (`builtinNetwork`) does not decide it alone: QEMU can, and runs on a bridge as well.
 * Idempotent. @param options `timeoutMs`: for the whole; default 60 000. `only`: names of those to make, default all.
 * @throws PLUGIN_CAPABILITY_MISSING the backend counts on a network that the driver does not have; NET_SPEC_INVALID,
 * NET_INIT_FAILED, FIREWALL_FAILED and whatever else the plugins give; TIMEOUT, ABORTED.
 */
export async function initNetworks(
  driver: HypervisorDriver,
  backend: NetworkBackend,
  networks: readonly NetworkSpec[],
  options: UserCallOptions & { readonly only?: readonly string[] } = {},
): Promise<void> {
  const own = backend.capabilities.hypervisorNetwork;
  if (own && (!driver.capabilities.builtinNetwork || !driver.initNetwork)) {
    const received = driver.capabilities.builtinNetwork;
    throw new HyperplugError(
      'PLUGIN_CAPABILITY_MISSING',
      `plugin ${driver.name}: capabilities.builtinNetwork: expected true with initNetwork(), as network ${backend.name} is the hypervisor's own network, got ${received}`,
      { details: { plugin: driver.name, field: 'capabilities.builtinNetwork', expected: true, received } },
    );
  }
  const what = `initialising the networks (${own ? `hypervisor ${driver.name}` : `network ${backend.name}`})`;
  try {
    await withDeadline(what, options.timeoutMs ?? DEFAULT_TIMEOUT_MS, options.signal, async (call) => {
      throwIfAborted(call.signal, what);
      // Cheap and without effect on the host where the network is the hypervisor's own, so bad specifications come first.
      const { only } = options;
      await withGrace(backend.init(networks, only ? { ...call, only } : call), call.signal, what);
      if (own && driver.initNetwork) await withGrace(driver.initNetwork(call), call.signal, what);
    });
  } catch (cause) {
    if (isHyperplugError(cause)) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HyperplugError('NET_INIT_FAILED', `${what}: ${reason}`, { cause, details: { reason } });
  }
}
