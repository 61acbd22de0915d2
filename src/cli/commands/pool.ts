import { HyperplugError } from '../../core/errors.js';
import type { Hyperplug } from '../../core/pod/types.js';
import type { PoolMember, PoolStatus } from '../../core/template/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { age, table, visible } from '../text.js';

const HEADER = ['CLONE', 'TEMPLATE', 'AGE', 'MEMORY', 'PID'];

export const ls = (context: CommandContext): Promise<number> => act(context, ({ pool }) => pool.status(context.call));

export const fill = (context: CommandContext, { size }: { readonly size?: number }): Promise<number> =>
  act(context, ({ pool }) => pool.fill({ ...context.call, ...(size !== undefined && { size }) }));

export const drain = (context: CommandContext): Promise<number> => act(context, ({ pool }) => pool.drain(context.call));

/** @throws DAEMON_UNREACHABLE without a daemon: a pool of this process would be gone with it. */
function act(context: CommandContext, body: (hyperplug: Hyperplug) => Promise<PoolStatus>): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    if (!('daemon' in hyperplug)) {
      throw new HyperplugError(
        'DAEMON_UNREACHABLE',
        'the pool is the daemon’s, and none answers: start hyperplug daemon',
      );
    }
    const status = await body(hyperplug);
    await context.print(status, () => `${table(HEADER, status.ready.map(row))}${summary(status)}`);
    return EXIT.ok;
  });
}

const row = ({ id, template, since, memoryMib, pid }: PoolMember): string[] => [
  id,
  template,
  age(since, Date.now()),
  `${memoryMib} MiB`,
  String(pid),
];

function summary({ ready, size, making, claims, misses, failure }: PoolStatus): string {
  const under = making > 0 ? `, ${making} being made` : '';
  const why = failure === null ? '' : `\nnot full: ${visible(failure)}`;
  return `${ready.length} of ${size} ready${under}; ${claims} taken, ${misses} missed${why}\n`;
}
