import type { VmSpec } from '../../core/hypervisor.js';
import { NOBODYS_LOG } from '../../host/head-start.js';
import { type BeginRequest, type Begun, begin } from './begin.js';

/** What a launch follows from, as plain data. */
export type Ahead = Pick<BeginRequest, 'spec' | 'options' | 'tools'>;

export const aheadOf = ({ spec, options, tools }: Ahead): Ahead => ({ spec, options, tools });

/** It ends with its manager, and takes nothing of the host that others may want. */
export const mayBeAhead = ({ detached, disks }: VmSpec): boolean => !detached && disks.length === 0;

export const beginAhead = (ahead: Ahead, signal: AbortSignal): Promise<Begun> =>
  begin({ ...ahead, log: NOBODYS_LOG, signal });
