import { StringDecoder } from 'node:string_decoder';
import { HyperplugError } from '../../errors.js';

/** Splits at `\n` and `\r\n`. */
export function splitLines(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** A stream's lines, without their ends; the last one need not have one. @throws NOT_SUPPORTED a longer line than `maxBytes`. */
export async function* linesOf(
  source: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<string, void, undefined> {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  let size = 0;
  const take = (end: string): string => {
    const line = parts.length === 0 ? end : parts.join('') + end;
    parts = [];
    size = 0;
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  };
  for await (const chunk of source) {
    const [first = '', ...rest] = decoder.write(chunk).split('\n');
    let last = first;
    for (const next of rest) {
      yield take(last);
      last = next;
    }
    size += last.length;
    if (size > maxBytes) {
      throw new HyperplugError('NOT_SUPPORTED', `a line of more than ${maxBytes} bytes (maxBufferBytes)`);
    }
    if (last !== '') parts.push(last);
  }
  const end = decoder.end();
  if (parts.length > 0 || end !== '') yield take(end);
}
