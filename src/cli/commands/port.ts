import type { PortMapping } from '../../core/network.js';
import type { PortSelector } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { guestPortText, hostPortText, portText } from '../network-text.js';
import type { PublishedPort } from '../parse/ports.js';
import { table } from '../text.js';
import { podStatus, withPod } from '../with-pod.js';

const HEADER = ['HOST', 'POD', 'PROTOCOL', 'NIC'];

/** All or none. */
export function add(
  context: CommandContext,
  podId: string,
  ports: readonly PublishedPort[],
  options: { readonly nic?: string },
): Promise<number> {
  const wanted = ports.map((port) => (options.nic === undefined ? port : { ...port, interface: options.nic }));
  return withPod(context, podId, async (pod) => {
    await print(context, await pod.ports.add(wanted, context.call));
    return EXIT.ok;
  });
}

export function rm(context: CommandContext, podId: string, ports: readonly PortSelector[]): Promise<number> {
  return withPod(context, podId, async (pod) => {
    await print(context, await pod.ports.remove(ports, context.call));
    return EXIT.ok;
  });
}

/** From the record: a pod that another process holds is listed, too. */
export function ls(context: CommandContext, podId: string): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const { nics } = await podStatus(context, hyperplug, podId);
    const ports = nics.flatMap((nic) => nic.ports.map((mapping) => ({ ...mapping, nic: nic.id })));
    await context.print(ports, () =>
      table(
        HEADER,
        ports.map((port) => [hostPortText(port), guestPortText(port), port.protocol, port.nic]),
      ),
    );
    return EXIT.ok;
  });
}

function print(context: CommandContext, ports: readonly PortMapping[]): Promise<void> {
  return context.print(ports, () => ports.map((port) => `${portText(port)}\n`).join(''));
}
