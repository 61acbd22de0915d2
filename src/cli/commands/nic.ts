import { hasCode } from '../../core/errors.js';
import type { NicChange, Pod, PodNic } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT, errorObject, usageError } from '../errors.js';
import { NIC_HEADER, nicRow } from '../network-text.js';
import type { NicText } from '../parse/nic.js';
import { table } from '../text.js';
import { withPod } from '../with-pod.js';

/** All or none. */
export function add(context: CommandContext, podId: string, nics: readonly NicText[]): Promise<number> {
  return withPod(context, podId, async (pod) => {
    await print(context, await pod.nics.add(nics.length > 0 ? nics : [{}], context.call));
    return EXIT.ok;
  });
}

/** All at once; a failure of one does not hold up the others. */
export function rm(context: CommandContext, podId: string, nicIds: readonly string[]): Promise<number> {
  return withPod(context, podId, async (pod) => {
    const ids = [...new Set(nicIds)];
    const settled = await Promise.allSettled(ids.map((id) => pod.nics.remove(id, context.call)));
    const results = settled.map((result, index) => ({
      id: ids[index],
      removed: result.status === 'fulfilled',
      ...(result.status === 'rejected' ? { error: errorObject(result.reason, false) } : {}),
    }));
    await context.print(results, () =>
      results
        .filter(({ removed }) => removed)
        .map(({ id }) => `${id}\n`)
        .join(''),
    );
    if (!context.common.json)
      for (const result of settled) if (result.status === 'rejected') context.report(result.reason);
    return results.every(({ removed }) => removed) ? EXIT.ok : EXIT.failed;
  });
}

export interface SetOptions {
  readonly addIp: readonly string[];
  readonly removeIp: readonly string[];
  readonly name?: string;
  readonly mtu?: number;
}

export function set(context: CommandContext, podId: string, nicId: string, options: SetOptions): Promise<number> {
  const { addIp, removeIp, name, mtu } = options;
  const change: NicChange = {
    ...(addIp.length > 0 ? { addAddresses: addIp } : {}),
    ...(removeIp.length > 0 ? { removeAddresses: removeIp } : {}),
    ...(name === undefined ? {} : { name }),
    ...(mtu === undefined ? {} : { mtu }),
  };
  if (Object.keys(change).length === 0) {
    throw usageError('nothing to change was given', '--add-ip, --remove-ip, --name or --mtu');
  }
  return withPod(context, podId, async (pod) => {
    await print(context, [await pod.nics.update(nicId, change, context.call)]);
    return EXIT.ok;
  });
}

export function ls(context: CommandContext, podId: string): Promise<number> {
  return withPod(context, podId, async (pod) => {
    await print(context, await read(context, pod));
    return EXIT.ok;
  });
}

/** As the guest has them; an agent that cannot tell leaves what is recorded. */
async function read(context: CommandContext, pod: Pod): Promise<readonly PodNic[]> {
  try {
    return await pod.nics.read(context.call);
  } catch (error) {
    if (!hasCode(error, 'NOT_SUPPORTED')) throw error;
    context.say(`as recorded: ${error.message}`);
    return pod.nics.list();
  }
}

function print(context: CommandContext, nics: readonly PodNic[]): Promise<void> {
  return context.print(nics, () => table(NIC_HEADER, nics.map(nicRow)));
}
