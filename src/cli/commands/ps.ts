import type { PodStatus } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { portText } from '../network-text.js';
import { age, table } from '../text.js';

const LIVING: readonly PodStatus['state'][] = ['creating', 'starting', 'running', 'paused', 'stopping', 'removing'];
const HEADER = ['POD', 'STATE', 'AGE', 'DRIVER', 'CPUS', 'MEMORY', 'ADDRESSES', 'PORTS'];

export function execute(context: CommandContext, options: { readonly all?: boolean }): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const pods = (await hyperplug.listPods(context.call)).filter((pod) => options.all || LIVING.includes(pod.state));
    await context.print(pods, () => table(HEADER, pods.map(row)));
    return EXIT.ok;
  });
}

function row(pod: PodStatus): string[] {
  return [
    pod.id,
    pod.state,
    age(pod.createdAt, Date.now()),
    pod.hypervisor,
    String(pod.cpus),
    `${pod.memoryMib} MiB`,
    pod.addresses.join(', ') || '-',
    pod.ports.map(portText).join(', ') || '-',
  ];
}
