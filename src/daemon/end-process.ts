import { constants } from 'node:os';
import type { GuestProcess } from '../core/agent.js';
import { withDeadline } from '../core/calls.js';
import type { Context } from './operation.js';

const KILL_TIMEOUT_MS = 10_000;

/** A command whose client is gone is killed, unless it was to be left: nobody reads what it says. */
export function endWithClient(
  process: GuestProcess,
  { call, metrics, logger, requestId }: Pick<Context, 'call' | 'metrics' | 'logger' | 'requestId'>,
  onDisconnect: 'kill' | 'leave',
): void {
  let running = true;
  metrics.commands += 1;
  const over = () => {
    running = false;
    metrics.commands -= 1;
  };
  process.exited.then(over, over);
  const gone = () => {
    if (!running) return;
    // What it still says goes nowhere; unread it would hold it up.
    process.stdout.resume();
    process.stderr.resume();
    process.stdin.destroy();
    if (onDisconnect === 'leave') return;
    withDeadline('kill the command', KILL_TIMEOUT_MS, undefined, (options) =>
      process.kill(constants.signals.SIGKILL, options),
    ).catch((error: unknown) => {
      if (running) logger.warn({ requestId, err: error }, 'a command whose client is gone could not be killed');
    });
  };
  if (call.signal.aborted) gone();
  else call.signal.addEventListener('abort', gone, { once: true });
}
