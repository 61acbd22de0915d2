import type { AddressPool, AddressPoolCapabilities } from '../../../core/address-pool.js';
import type { ContractOptions } from '../../runner.js';

export interface AddressPoolContract extends ContractOptions<AddressPool> {
  /** What the implementation declares; it decides which tests there are. */
  readonly capabilities: AddressPoolCapabilities;
  /** Another instance over the same data, as another process or a later one has it. Needed for durable. */
  attach?(pool: AddressPool): AddressPool | Promise<AddressPool>;
  /** Makes the pool's next write fail, as a full disk does. */
  failNextWrite?(pool: AddressPool): void | Promise<void>;
}
