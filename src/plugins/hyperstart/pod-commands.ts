import type { GuestSession } from '../../core/agent.js';
import { HyperplugError } from '../../core/errors.js';

/** What a session can do about containers, volumes, renewal and counters. */
export type PodCommands = Pick<
  GuestSession,
  | 'newContainer'
  | 'startContainer'
  | 'signalContainer'
  | 'removeContainer'
  | 'listContainers'
  | 'readContainerLog'
  | 'onContainerExit'
  | 'mountVolume'
  | 'unmountVolume'
  | 'reseed'
  | 'setClock'
  | 'readStats'
>;

async function refuse(what: string): Promise<never> {
  throw new HyperplugError('NOT_SUPPORTED', `${what}: an original hyperstart cannot`);
}

/** An original's containers are of images that its runtime has prepared, which nothing here makes. */
export class OriginalPod implements PodCommands {
  newContainer = () => refuse('newContainer');
  startContainer = () => refuse('startContainer');
  signalContainer = () => refuse('signalContainer');
  removeContainer = () => refuse('removeContainer');
  listContainers = () => refuse('listContainers');
  readContainerLog = () => refuse('readContainerLog');
  onContainerExit = () => () => {};
  mountVolume = () => refuse('mountVolume');
  unmountVolume = () => refuse('unmountVolume');
  reseed = () => refuse('reseed');
  setClock = () => refuse('setClock');
  readStats = () => refuse('readStats');
}
