import type { CallOptions } from '../calls.js';
import { HyperplugError, hasCode } from '../errors.js';
import { type Assessment, type AssessmentHost, FITNESS } from '../plugin.js';
import type { PluginRegistry, SelectedPlugins } from './registry.js';

export interface HypervisorChoice {
  readonly name: string;
  /** Of all that were looked at, for people: `uml: …; qemu: …`. */
  readonly reason: string;
}

/**
 * The fittest hypervisor of those that assess themselves and fit the other plugins; the first of equals. One that runs
 * natively is taken without a look at the rest.
 * @throws VM_HYPERVISOR_FAILED none works here, with the reason of each.
 */
export async function chooseHypervisor(
  registry: PluginRegistry,
  select: (name: string) => SelectedPlugins,
  host: AssessmentHost,
  call: CallOptions,
): Promise<HypervisorChoice> {
  const found: { readonly name: string; readonly assessment: Assessment }[] = [];
  for (const { plugin } of registry.list('hypervisor')) {
    if (!plugin.assess) continue;
    const { name } = plugin;
    const assessment = await assess(() => select(name), host, call);
    found.push({ name, assessment });
    if (assessment.fitness === FITNESS[0]) break;
  }
  const rank = ({ assessment }: (typeof found)[number]) => FITNESS.indexOf(assessment.fitness);
  const sorted = [...found].sort((a, b) => rank(a) - rank(b));
  const reason = sorted.map(({ name, assessment }) => `${name}: ${assessment.reason}`).join('; ');
  const best = sorted[0];
  if (best && best.assessment.fitness !== 'none') return { name: best.name, reason };
  throw new HyperplugError(
    'VM_HYPERVISOR_FAILED',
    `hypervisor.driver: auto: none works here (${reason || 'none known'})`,
  );
}

/** One that cannot be selected, or fails at its assessment, does not fit. */
async function assess(select: () => SelectedPlugins, host: AssessmentHost, call: CallOptions): Promise<Assessment> {
  try {
    const { plugin, options } = select().hypervisor;
    return (await plugin.assess?.(options as never, host, call)) ?? { fitness: 'none', reason: 'it does not tell' };
  } catch (error) {
    if (hasCode(error, 'ABORTED', 'TIMEOUT', 'PLUGIN_OPTIONS_INVALID')) throw error;
    return { fitness: 'none', reason: error instanceof Error ? error.message : String(error) };
  }
}
