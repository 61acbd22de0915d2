import { isHyperplugError } from '../../core/errors.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

/** Runs until a signal asks it to end: that is its proper end. */
export async function execute(context: CommandContext, options: { readonly stopPods?: boolean }): Promise<number> {
  const { signal } = context.interrupts;
  try {
    await context.deps.runDaemon({
      ...context.engineOptions(),
      stopPods: options.stopPods === true,
      onReady: (address) => context.say(`daemon: listening at ${address}`),
    });
  } catch (error) {
    // A signal while it started: nothing was begun that has not been ended.
    if (!(signal.aborted && isHyperplugError(error) && error.code === 'ABORTED')) throw error;
  }
  return EXIT.ok;
}
