import type { AddressPoolCapabilities } from '../../core/address-pool.js';
import { SHORTEST_PREFIX } from '../../core/ipam/limits.js';
import type { StateStoreCapabilities } from '../../core/state-store.js';

export const POOL_CAPABILITIES: AddressPoolCapabilities = Object.freeze({
  families: Object.freeze([4, 6] as const),
  shortestPrefix: SHORTEST_PREFIX,
  durable: true,
});

export const STATE_CAPABILITIES: StateStoreCapabilities = Object.freeze({ durable: true, multiProcess: true });
