import type { VmSpec } from '../../core/hypervisor.js';
import { NOBODYS_LOG } from '../../host/head-start.js';
import { type BeginRequest, type Begun, begin } from './begin.js';

/** What a launch follows from, as plain data. */
export type Ahead = Pick<BeginRequest, 'spec' | 'options' | 'tools' | 'acceleration'>;

export const aheadOf = ({ spec, options, tools, acceleration }: Ahead): Ahead => ({
  spec,
  options,
  tools,
  acceleration,
});

/** It ends with its manager, is nobody's template, and takes nothing of the host that others may want. */
export const mayBeAhead = ({ detached, disks, shares, template, nics }: VmSpec): boolean =>
  !detached &&
  disks.length === 0 &&
  shares.length === 0 &&
  template === undefined &&
  nics.every(({ endpoint }) => endpoint.kind === 'builtin' && endpoint.forwards.length === 0);

/** The first part of a launch, whose guest does not wait for the rest. */
export const beginAhead = (ahead: Ahead, signal: AbortSignal): Promise<Begun> =>
  begin({
    ...ahead,
    shareTools: () => Promise.reject(new TypeError('no shares')),
    template: undefined,
    runs: true,
    log: NOBODYS_LOG,
    signal,
  });
