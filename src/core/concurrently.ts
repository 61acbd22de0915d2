import { abortError, type CallOptions } from './calls.js';

/**
 * Runs tasks at once. The first failure aborts the others; it is thrown when all have settled, so that whatever they made
 * is known to their undo by then.
 */
export async function concurrently<T>(
  tasks: readonly ((options: CallOptions) => Promise<T>)[],
  { signal }: CallOptions,
): Promise<T[]> {
  const controller = new AbortController();
  const onAbort = () => controller.abort(abortError(signal, 'concurrent calls'));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  let first: { readonly error: unknown } | undefined;
  try {
    const results = await Promise.allSettled(
      tasks.map(async (task) => {
        try {
          return await task({ signal: controller.signal });
        } catch (error) {
          first ??= { error };
          controller.abort(error);
          throw error;
        }
      }),
    );
    if (first) throw first.error;
    return results.map((result) => (result as PromiseFulfilledResult<T>).value);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
