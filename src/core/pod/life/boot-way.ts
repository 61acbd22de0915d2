import { hasCode } from '../../errors.js';
import type { BootWay } from '../../template/choice.js';
import type { PodServices } from '../services.js';
import type { PodSpec } from '../spec.js';

/** Building an image, or a template, may take minutes and has its own deadlines; nothing of the pod is made yet. */
export async function chooseWay(
  { templates, pool, image }: PodServices,
  spec: PodSpec,
  signal: AbortSignal | undefined,
): Promise<BootWay> {
  const claimed = await pool?.claim(spec, signal);
  if (claimed) return claimed;
  return templates ? templates.choose(spec, signal) : { image: await image(signal) };
}

/** Runs `body`, which is all or nothing: once more, by another way, where the template was changed under it. */
export async function byWay<T>(
  { templates }: PodServices,
  spec: PodSpec,
  way: BootWay,
  signal: AbortSignal | undefined,
  body: (way: BootWay) => Promise<T>,
): Promise<T> {
  const { template } = way;
  let last = way;
  try {
    return await body(way);
  } catch (error) {
    if (!template || !templates || !hasCode(error, 'TEMPLATE_STALE', 'TEMPLATE_NOT_FOUND')) throw error;
    last = await templates.chooseAgain(spec, template, error, signal);
    return await body(last);
  } finally {
    last.afterwards?.();
  }
}
