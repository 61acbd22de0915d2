import { HyperplugError } from '../../../core/errors.js';
import type { JsonValue } from '../../../core/json.js';

/** One JSON object of the wire. */
export type QmpObject = { readonly [key: string]: JsonValue };

/**
 * Bytes of a QMP connection to JSON objects. QEMU ends each object with CRLF and writes none inside one
 * (docs/interop/qmp-spec.rst); what is longer than `maxLineBytes` is not QMP.
 */
export class QmpDecoder {
  #parts: Buffer[] = [];
  #pendingBytes = 0;
  readonly #maxLineBytes: number;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true });

  /** The longest real answer is query-qmp-schema's, some 200 KiB. */
  constructor(maxLineBytes = 4 * 1024 * 1024) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** @throws QMP_PROTOCOL; the decoder is of no use afterwards. */
  push(chunk: Buffer): QmpObject[] {
    const objects: QmpObject[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) break;
      this.#keep(chunk.subarray(start, end));
      const line = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#pendingBytes = 0;
      const object = this.#parse(line);
      if (object) objects.push(object);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return objects;
  }

  #keep(part: Buffer): void {
    this.#pendingBytes += part.length;
    if (this.#pendingBytes > this.#maxLineBytes) {
      throw protocolError(`a message of more than ${this.#maxLineBytes} bytes`);
    }
    if (part.length > 0 || this.#parts.length === 0) this.#parts.push(part);
  }

  #parse(line: Buffer): QmpObject | undefined {
    let text: string;
    try {
      text = this.#utf8.decode(line).trim();
    } catch {
      throw protocolError('bytes that are not UTF-8', line.toString('latin1'));
    }
    if (text === '') return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw protocolError('a line that is not JSON', text);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw protocolError('JSON that is not an object', text);
    }
    return value as QmpObject;
  }
}

export function encodeQmp(object: QmpObject): string {
  return `${JSON.stringify(object)}\r\n`;
}

/** `seen` says what came instead of QMP, `text` shows its beginning. */
export function protocolError(seen: string, text?: string): HyperplugError {
  const beginning = text === undefined ? '' : `: ${JSON.stringify(text.slice(0, 100))}`;
  return new HyperplugError('QMP_PROTOCOL', `QMP socket: got ${seen}${beginning}`, { details: { seen } });
}
