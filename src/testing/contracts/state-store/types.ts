import type { StateKey, StateStore, StateStoreCapabilities } from '../../../core/state-store.js';
import type { ContractOptions } from '../../runner.js';

export interface StateStoreContract extends ContractOptions<StateStore> {
  /** What the implementation declares; it decides which tests there are. */
  readonly capabilities: StateStoreCapabilities;
  /** Another instance over the same data, as another process or a later one has it. Needed for durable and multiProcess. */
  attach?(store: StateStore): StateStore | Promise<StateStore>;
  /** Puts behind the store's back what is no record, or one of a newer version, under a key. */
  damage?(store: StateStore, key: StateKey, how: 'garbage' | 'newer'): void | Promise<void>;
  /** Makes the next commit fail, as a full disk does. */
  failNextCommit?(store: StateStore): void | Promise<void>;
}
