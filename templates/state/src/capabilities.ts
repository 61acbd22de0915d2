import { deepFreeze, type StateStoreCapabilities } from 'hyperplug';

/** Declare `durable` when a commit survives the power going, `multiProcess` when several processes may open the same. */
export const capabilities: StateStoreCapabilities = deepFreeze({ durable: false, multiProcess: false });
