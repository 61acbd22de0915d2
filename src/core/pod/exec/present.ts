import { splitLines } from './lines.js';
import type { ExecOptions, ExecOutput } from './types.js';

/** Collected output as it was asked for. */
export function present<O extends ExecOptions>(output: Buffer, options: O): ExecOutput<O> {
  const { encoding = 'utf8', lines = false, stripFinalNewline = true } = options;
  const shaped = (): Buffer | string | readonly string[] => {
    if (encoding === 'buffer') return output;
    const text = output.toString(encoding);
    if (lines) return splitLines(text);
    return stripFinalNewline ? text.replace(/\r?\n$/, '') : text;
  };
  return shaped() as ExecOutput<O>;
}
