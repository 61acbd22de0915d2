import type { UserCallOptions } from '../core/calls.js';
import type { NetworkRepair, NetworkReport, Networks } from '../core/pod/types.js';
import { only } from './remote-pods.js';
import type { Transport } from './transport.js';

/** The daemon's networks. */
export class RemoteNetworks implements Networks {
  constructor(private readonly transport: Transport) {}

  init(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkReport[]> {
    return this.#act('init', names, options);
  }
  status(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkReport[]> {
    return this.transport.json('GET', '/v1/networks', { ...only(options), query: { name: names } });
  }
  repair(names: readonly string[] = [], options: UserCallOptions = {}): Promise<readonly NetworkRepair[]> {
    return this.#act('repair', names, options);
  }
  teardown(
    names: readonly string[] = [],
    options: UserCallOptions & { readonly force?: boolean } = {},
  ): Promise<readonly string[]> {
    return this.#act('teardown', names, options, { force: options.force });
  }

  #act<T>(verb: string, names: readonly string[], options: UserCallOptions, query = {}): Promise<T> {
    return this.transport.json('POST', `/v1/networks/${verb}`, { ...only(options), query, body: { names } });
  }
}
