import { createHyperplug } from '../../src/hyperplug.js';
import type { Hyperplug } from '../../src/index.js';
import { Sandbox } from '../../test/support/sandbox.js';

export const BRIDGE = 'hyper0';

export interface Engine extends AsyncDisposable {
  readonly hyperplug: Hyperplug;
  readonly configPath: string;
}

/** The engine on a state of its own, with bridges, taps and rules in this process's namespace. */
export async function engineHere(driver: 'qemu' | 'uml', config: Record<string, unknown> = {}): Promise<Engine> {
  const sandbox = await Sandbox.make({
    network: { backend: 'netlink' },
    firewall: { driver: 'iptables' },
    hypervisor: { driver, ...(driver === 'qemu' && { qemu: { acceleration: 'tcg' } }) },
    ...config,
  });
  const hyperplug = await createHyperplug({ configPath: sandbox.configPath });
  return {
    hyperplug,
    configPath: sandbox.configPath,
    async [Symbol.asyncDispose]() {
      await hyperplug.networks.teardown([], { force: true });
      await hyperplug.close();
      await sandbox.dispose();
    },
  };
}
