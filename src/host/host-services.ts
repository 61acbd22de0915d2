import type { HostServices } from '../core/host-services.js';
import { acquireLock } from './lock.js';
import { ownIdentity, sameProcess } from './process.js';

/** The real ones. */
export const hostServices: HostServices = {
  self: async () => ownIdentity(),
  alive: async (identity) => sameProcess(identity),
  lock: (path, purpose, signal) => acquireLock(path, { purpose, signal, exclusive: true }),
};
