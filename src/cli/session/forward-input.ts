import type { Readable, Writable } from 'node:stream';

/**
 * Our standard input into the guest, at the guest's pace; its end is the end there. Stopping leaves the source paused and
 * open. `onError`: reading ours failed (the guest then sees its end).
 */
export function forwardInput(source: Readable, sink: Writable, onError: (error: Error) => void): () => void {
  let stopped = false;
  const onData = (chunk: Uint8Array) => {
    if (sink.write(chunk)) return;
    source.pause();
  };
  const onDrain = () => {
    if (!stopped) source.resume();
  };
  const onEnd = () => sink.end();
  const onSourceError = (error: Error) => {
    // A terminal that hung up is at its end.
    if ((error as NodeJS.ErrnoException).code !== 'EIO') onError(error);
    sink.end();
  };
  const stop = () => {
    if (stopped) return;
    stopped = true;
    source.off('data', onData).off('end', onEnd);
    sink.off('drain', onDrain);
    source.pause();
  };
  // The command has closed its input or ended: nobody wants more. The listener stays, as late errors are no news.
  sink.on('error', stop).on('close', stop).on('drain', onDrain);
  // This listener stays too.
  source.on('error', onSourceError).on('end', onEnd).on('data', onData);
  return stop;
}
