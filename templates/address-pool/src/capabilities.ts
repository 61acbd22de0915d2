import { type AddressPoolCapabilities, deepFreeze } from 'hyperplug';

/** Declare `durable` when allocations survive the process and several processes share them. */
export const capabilities: AddressPoolCapabilities = deepFreeze({
  families: [4, 6],
  shortestPrefix: { 4: 8, 6: 64 },
  durable: false,
});
