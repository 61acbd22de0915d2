import { HyperplugError } from '../../../src/core/errors.js';
import type { NetworkRepair, NetworkReport, Networks } from '../../../src/core/pod/types.js';

export function report(name: string, changes: Partial<NetworkReport> = {}): NetworkReport {
  return {
    name,
    state: 'ready',
    backend: 'netlink',
    present: true,
    bridge: 'hyper0',
    subnets: ['192.168.123.0/24'],
    gateways: ['192.168.123.1'],
    mtu: 1500,
    drift: [],
    pods: [],
    ...changes,
  };
}

/** Networks in memory: `reports` is what they are. */
export class FakeNetworks implements Networks {
  reports: NetworkReport[] = [report('default')];
  readonly calls: unknown[][] = [];

  async init(names: readonly string[] = []): Promise<readonly NetworkReport[]> {
    this.calls.push(['init', names]);
    this.#change(names, { state: 'ready', present: true, drift: [] });
    return this.#named(names);
  }
  async status(names: readonly string[] = []): Promise<readonly NetworkReport[]> {
    this.calls.push(['status', names]);
    return this.#named(names);
  }
  async repair(names: readonly string[] = []): Promise<readonly NetworkRepair[]> {
    this.calls.push(['repair', names]);
    const before = this.#named(names).map(({ name, drift }) => ({ name, mended: drift }));
    this.#change(names, { state: 'ready', present: true, drift: [] });
    return before;
  }
  async teardown(
    names: readonly string[] = [],
    { force = false }: { readonly force?: boolean } = {},
  ): Promise<readonly string[]> {
    this.calls.push(['teardown', names, force]);
    const used = this.#named(names).find(({ pods }) => pods.length > 0);
    if (used && !force) throw new HyperplugError('NET_IN_USE', `network ${used.name}: pods are in it`);
    this.#change(names, { state: 'absent', present: false });
    return this.#named(names).map(({ name }) => name);
  }

  #named(names: readonly string[]): readonly NetworkReport[] {
    const strange = names.find((name) => !this.reports.some((one) => one.name === name));
    if (strange !== undefined) throw new HyperplugError('NET_NOT_FOUND', `no network "${strange}"`);
    return names.length === 0 ? this.reports : this.reports.filter(({ name }) => names.includes(name));
  }
  #change(names: readonly string[], changes: Partial<NetworkReport>): void {
    const chosen = this.#named(names);
    this.reports = this.reports.map((one) => (chosen.includes(one) ? { ...one, ...changes } : one));
  }
}
