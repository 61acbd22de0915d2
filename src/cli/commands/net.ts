import type { NetworkReport } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { table, visible } from '../text.js';

const HEADER = ['NETWORK', 'STATE', 'BRIDGE', 'SUBNETS', 'GATEWAYS', 'MTU', 'PODS'];

export function init(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const reports = await hyperplug.networks.init(names, context.call);
    await context.deps.keepNetworks(true, context.interrupts.signal);
    await print(context, reports);
    return EXIT.ok;
  });
}

export function status(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    await print(context, await hyperplug.networks.status(names, context.call));
    return EXIT.ok;
  }, 'look');
}

/** What differs, in words; the exit code tells whether anything does. */
export function check(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const reports = await hyperplug.networks.status(names, context.call);
    await context.print(reports, () => reports.flatMap(findings).map(line).join(''));
    return reports.every(({ state }) => state === 'ready') ? EXIT.ok : EXIT.findings;
  }, 'look');
}

export function repair(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const repairs = await hyperplug.networks.repair(names, context.call);
    await context.print(repairs, () =>
      repairs
        .flatMap(({ name, mended }) =>
          mended.length === 0 ? [`${name}: nothing to mend`] : mended.map((text) => `${name}: mended: ${text}`),
        )
        .map(line)
        .join(''),
    );
    return EXIT.ok;
  });
}

export function teardown(
  context: CommandContext,
  names: readonly string[],
  options: { readonly force?: boolean },
): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const force = options.force === true;
    const gone = await hyperplug.networks.teardown(names, { ...context.call, force });
    const left = names.length > 0 && (await hyperplug.networks.status([], context.call)).some(isThere);
    if (!left) await context.deps.keepNetworks(false, context.interrupts.signal);
    await context.print(gone, () => gone.map(line).join(''));
    return EXIT.ok;
  });
}

const isThere = ({ state }: NetworkReport): boolean => state !== 'absent';

function findings({ name, state, drift, pods }: NetworkReport): string[] {
  if (state === 'ready') return [`${name}: as it should be`];
  const absent = pods.length > 0 ? `is gone, though pods are in it: ${pods.join(', ')}` : 'has not been made';
  return [...(state === 'absent' ? [`${name}: ${absent}`] : []), ...drift.map((text) => `${name}: ${text}`)];
}

const line = (text: string): string => `${visible(text)}\n`;

function print(context: CommandContext, reports: readonly NetworkReport[]): Promise<void> {
  return context.print(reports, () => table(HEADER, reports.map(row)));
}

function row({ name, state, bridge, subnets, gateways, mtu, drift, pods }: NetworkReport): string[] {
  const shown = state === 'drifted' ? `${state} (${drift.length})` : state;
  return [name, shown, bridge ?? '-', subnets.join(', '), gateways.join(', '), `${mtu}`, pods.join(', ') || '-'];
}
