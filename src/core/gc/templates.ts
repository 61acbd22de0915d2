import type { CallOptions } from '../calls.js';
import type { TemplateStore } from '../template/store.js';
import { attempt } from './findings.js';
import type { GcRun } from './gc.js';
import type { GcHost } from './services.js';
import type { GcFinding } from './types.js';

/** What was left of templates that somebody who died was making, replacing or removing. Whole ones are nobody's leftovers. */
export async function tidyTemplates(
  store: TemplateStore,
  host: Pick<GcHost, 'lockHolder'>,
  run: GcRun,
  call: CallOptions,
): Promise<GcFinding[]> {
  const findings: GcFinding[] = [];
  for (const { name, paths, held } of await store.leftovers((path) => host.lockHolder(path))) {
    const thing = { kind: 'template', id: name, why: `half made or half removed: ${paths.join(', ')}` } as const;
    if (held) {
      findings.push({ ...thing, why: 'somebody is making it', action: 'left' });
      continue;
    }
    let tidied = true;
    const finding = await attempt(thing, 'removed', run.dryRun, async () => {
      tidied = await store.tidy(name, call);
    });
    findings.push(tidied ? finding : { ...finding, action: 'left' });
  }
  return findings;
}
