import { StringDecoder } from 'node:string_decoder';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { visible } from '../text.js';

export interface LogsOptions {
  readonly follow?: boolean;
  readonly container?: string;
  readonly tail?: number;
}

/**
 * As it is into a pipe or file; on a terminal without the control characters, for it is the guest who wrote it; with --json
 * one object a line.
 */
export function execute(context: CommandContext, podId: string, options: LogsOptions): Promise<number> {
  return context.withHyperplug(async ({ pods }) => {
    const { stdout } = context.io;
    const present = presenter(context);
    const ended = new AbortController();
    void stdout.failed.then(() => ended.abort());
    const { follow = false, container, tail } = options;
    const logs = pods.logs(podId, {
      signal: AbortSignal.any([context.interrupts.signal, ended.signal]),
      follow,
      ...(container === undefined ? {} : { container }),
      ...(tail === undefined ? {} : { tail }),
    });
    try {
      for await (const chunk of logs) {
        context.progress.stop();
        if (!(await stdout.write(present(chunk)))) break;
      }
      await stdout.write(present(undefined));
    } catch (error) {
      if (!ended.signal.aborted) throw error;
    }
    return EXIT.ok;
  });
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
