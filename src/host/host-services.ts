import type { HostServices } from '../core/host-services.js';
import { confirmHeadStart } from './head-start.js';
import { acquireLock } from './lock.js';
import { ownIdentity, sameProcess, waitGone } from './process.js';
import { processUsage } from './process-usage.js';

/** The real ones. */
export const hostServices: HostServices = {
  self: async () => ownIdentity(),
  alive: async (identity) => sameProcess(identity),
  gone: waitGone,
  usage: processUsage,
  confirmAhead: confirmHeadStart,
  lock: (path, purpose, signal, { shared = false } = {}) => acquireLock(path, { purpose, signal, exclusive: !shared }),
};
