import { hasCode, isHyperplugError } from '../errors.js';
import type { GcAction, GcFinding } from './types.js';

type Thing = Omit<GcFinding, 'action' | 'error'>;

/** Does it, unless nothing is to be changed, and says what came of it. Somebody else at it is no failure. */
export async function attempt(
  thing: Thing,
  action: GcAction,
  dryRun: boolean,
  body: () => Promise<unknown>,
): Promise<GcFinding> {
  if (dryRun) return { ...thing, action };
  try {
    await body();
    return { ...thing, action };
  } catch (error) {
    if (hasCode(error, 'ABORTED', 'TIMEOUT')) throw error;
    if (hasCode(error, 'POD_BUSY')) return { ...thing, action: 'left', why: error.message };
    return failed(thing, error);
  }
}

export function failed(thing: Thing, error: unknown): GcFinding {
  const message = error instanceof Error ? error.message : String(error);
  const known = isHyperplugError(error) ? { code: error.code, message } : { message };
  // What one plugin made another leaves alone.
  const action: GcAction = hasCode(error, 'PLUGIN_NOT_FOUND') ? 'left' : 'failed';
  return { ...thing, action, error: known };
}
