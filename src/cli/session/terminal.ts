import type { GuestProcess, TerminalSize } from '../../core/agent.js';
import { withDeadline } from '../../core/calls.js';
import type { Io } from '../deps.js';

const RESIZE_TIMEOUT_MS = 10_000;

/** Follows the size of our terminal. The returned function ends it. */
export function followSize(
  io: Io,
  process: Pick<GuestProcess, 'resize'>,
  initial: TerminalSize | undefined,
): () => void {
  let known = initial;
  let busy = false;
  const follow = async () => {
    if (busy) return;
    busy = true;
    try {
      for (let size = io.terminalSize(); size && differs(size, known); size = io.terminalSize()) {
        known = size;
        const wanted = size;
        await withDeadline('resize the terminal', RESIZE_TIMEOUT_MS, undefined, (call) => process.resize(wanted, call));
      }
    } catch {
      // The command has ended meanwhile; its exit says what there is to say.
    } finally {
      busy = false;
    }
  };
  void follow();
  return io.onSignal('SIGWINCH', () => void follow());
}

function differs(size: TerminalSize, known: TerminalSize | undefined): boolean {
  return size.rows !== known?.rows || size.columns !== known.columns;
}

/**
 * Every key goes to the guest, ^C and ^Z too. The returned function gives the terminal back as it was; it is called on
 * every way out, and Node does the same when it exits or crashes. Stopped from outside (kill -TSTP) the terminal is
 * given back as long as we stand still.
 */
export function rawMode(io: Io): () => void {
  io.setRawMode(true);
  const offStop = io.onSignal('SIGTSTP', () => {
    io.setRawMode(false);
    io.suspend();
  });
  // The shell may have changed the modes meanwhile; Node sets them only on a change.
  const offContinue = io.onSignal('SIGCONT', () => {
    io.setRawMode(false);
    io.setRawMode(true);
  });
  let raw = true;
  return () => {
    if (!raw) return;
    raw = false;
    offStop();
    offContinue();
    io.setRawMode(false);
  };
}
