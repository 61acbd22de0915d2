import type { VmSpec } from '../../core/hypervisor.js';
import { NOBODYS_LOG } from '../../host/head-start.js';
import { type BeginRequest, type Begun, begin } from './begin.js';
import { type Connected, connect, disconnect, goOn } from './connect.js';
import { templateParts } from './template/descriptors.js';
import { TemplateMemory } from './template/memory.js';

/** What a launch follows from, as plain data. */
export type Ahead = Pick<BeginRequest, 'spec' | 'options' | 'tools' | 'acceleration'>;

export interface BegunAhead extends Begun {
  /** A clone's guest: it runs when this resolves. undefined: one that boots, or for the launch to let run. */
  readonly goesOn?: Promise<Connected>;
}

export const aheadOf = ({ spec, options, tools, acceleration }: Ahead): Ahead => ({
  spec,
  options,
  tools,
  acceleration,
});

/** It ends with its manager, becomes nobody's template, and takes nothing of the host that others may want. */
export const mayBeAhead = ({ detached, disks, shares, template, nics }: VmSpec): boolean =>
  !detached &&
  disks.length === 0 &&
  shares.length === 0 &&
  template?.role !== 'source' &&
  nics.every(({ endpoint }) => endpoint.kind === 'builtin' && endpoint.forwards.length === 0);

/** The first part of a launch, whose guest does not wait for the rest. */
export async function beginAhead(ahead: Ahead, signal: AbortSignal): Promise<BegunAhead> {
  const { template } = ahead.spec;
  const begun = await begin({
    ...ahead,
    shareTools: () => Promise.reject(new TypeError('no shares')),
    template:
      template?.role === 'clone' ? templateParts(ahead.spec, template.saved.key, new TemplateMemory()) : undefined,
    runs: template === undefined,
    log: NOBODYS_LOG,
    signal,
  });
  return template ? { ...begun, memory: undefined, goesOn: goOnAhead(ahead, begun) } : begun;
}

/** Whoever takes it waits for it; where nobody does, it ends with what was begun. */
function goOnAhead(ahead: Ahead, begun: Begun): Promise<Connected> {
  const { undo, memory } = begun;
  const abandoned = new AbortController();
  const goesOn = (async () => {
    try {
      const connected = await connect(ahead, begun, abandoned.signal);
      try {
        await goOn(ahead, memory, connected.qmp, abandoned.signal);
        return connected;
      } catch (error) {
        disconnect(connected);
        throw error;
      }
    } finally {
      memory?.close();
    }
  })();
  goesOn.catch(() => {});
  undo.push('what it was told ahead', async () => {
    abandoned.abort();
    await goesOn.then(disconnect, () => {});
  });
  return goesOn;
}
