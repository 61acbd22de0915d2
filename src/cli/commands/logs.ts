import { StringDecoder } from 'node:string_decoder';
import type { Hyperplug } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { readGrowing } from '../session/read-growing.js';
import { visible } from '../text.js';
import { podStatus } from '../with-pod.js';

/** While following: how often we ask whether the pod still runs. New output comes by inotify, not by this. */
const STATE_EVERY_MS = 2_000;

/**
 * The console's log file. As it is into a pipe or file; on a terminal without the control characters, for it is the
 * guest who wrote it; with --json one object a line.
 */
export function execute(
  context: CommandContext,
  podId: string,
  options: { readonly follow?: boolean },
): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const pod = await podStatus(context, hyperplug, podId);
    const { stdout } = context.io;
    const present = presenter(context);
    const ended = new AbortController();
    const stop = options.follow ? watchState(context, hyperplug, podId, ended) : () => ended.abort();
    if (!options.follow) stop();
    void stdout.failed.then(() => ended.abort());
    try {
      for await (const chunk of readGrowing(pod.consoleLogPath, ended.signal, context.interrupts.signal)) {
        if (!(await stdout.write(present(chunk)))) break;
      }
      await stdout.write(present(undefined));
    } finally {
      stop();
    }
    return EXIT.ok;
  });
}

/** Aborts `ended` when the pod does not run any more. */
function watchState(context: CommandContext, hyperplug: Hyperplug, podId: string, ended: AbortController): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    const pod = await podStatus(context, hyperplug, podId).catch(() => undefined);
    if (pod?.state === 'running' || pod?.state === 'creating') timer = setTimeout(look, STATE_EVERY_MS);
    else ended.abort();
  };
  timer = setTimeout(look, 0);
  return () => {
    clearTimeout(timer);
    ended.abort();
  };
}

/** Turns bytes into what is written; undefined: what is still held back at the end. */
function presenter(context: CommandContext): (chunk: Uint8Array | undefined) => Uint8Array | string {
  const decoder = new StringDecoder('utf8');
  const decode = (chunk: Uint8Array | undefined) => (chunk ? decoder.write(Buffer.from(chunk)) : decoder.end());
  if (context.common.json) {
    let rest = '';
    return (chunk) => {
      const lines = (rest + decode(chunk)).split('\n');
      rest = chunk ? (lines.pop() ?? '') : '';
      return lines
        .filter((line, index) => chunk || line !== '' || index < lines.length - 1)
        .map((line) => `${JSON.stringify({ line: line.replace(/\r$/, '') })}\n`)
        .join('');
    };
  }
  if (context.io.stdout.isTerminal) return (chunk) => visible(decode(chunk).replaceAll('\r', ''), '\n\t');
  return (chunk) => chunk ?? '';
}
