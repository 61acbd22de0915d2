import type { CallOptions } from '../calls.js';
import type { Diagnosis } from '../diagnosis.js';
import type { TemplateStatus } from './types.js';

/** Whether templates can be used here, and how those that are there stand. */
export async function diagnoseTemplates(
  hypervisor: { readonly name: string; readonly capabilities: { readonly snapshot: boolean } },
  list: (options: CallOptions) => Promise<readonly TemplateStatus[]>,
  call: CallOptions,
): Promise<Diagnosis> {
  const id = 'templates';
  if (!hypervisor.capabilities.snapshot) {
    const summary = `hypervisor ${hypervisor.name} cannot save VMs and go on from them: every pod boots`;
    return { id, status: 'ok', summary };
  }
  try {
    const all = await list(call);
    const of = (state: TemplateStatus['state']) => all.filter((each) => each.state === state).map(({ name }) => name);
    const words = (['fresh', 'stale', 'unreadable'] as const)
      .map((state) => [state, of(state)] as const)
      .filter(([, names]) => names.length > 0)
      .map(([state, names]) => `${state}: ${names.join(', ')}`);
    const summary = `can be used; ${words.join('; ') || 'there is none'}`;
    const detail = all.flatMap(({ name, why }) => (why === null ? [] : [`${name}: ${why}`])).join('\n');
    const broken = of('unreadable');
    return {
      id,
      status: broken.length > 0 ? 'warn' : 'ok',
      summary,
      ...(detail && { detail }),
      ...(broken.length > 0 && { fix: `hyperplug template rm ${broken.join(' ')}` }),
    };
  } catch (error) {
    const summary = `templates could not be looked at: ${error instanceof Error ? error.message : String(error)}`;
    return { id, status: 'fail', summary };
  }
}
