import { HyperplugError } from '../errors.js';
import type { Origin } from './origin.js';
import type { ConfigNode } from './tree.js';

const MAX_DEPTH = 64;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;

/**
 * JSON (RFC 8259) with the line of every value. Stricter than JSON.parse in one thing: a key that stands twice is an error.
 * @throws CONFIG_SYNTAX with `file` and `line`; no content of the file is shown, which may be secret.
 */
export function parseJson(text: string, file: string): ConfigNode {
  return new JsonReader(text.startsWith('\ufeff') ? text.slice(1) : text, file).document();
}

class JsonReader {
  #at = 0;
  #line = 1;

  constructor(
    readonly text: string,
    readonly file: string,
  ) {}

  document(): ConfigNode {
    this.#space();
    const node = this.#value(this.#origin(), 0);
    this.#space();
    if (this.#at < this.text.length) throw this.#wrong('the end of the file');
    return node;
  }

  #value(origin: Origin, depth: number): ConfigNode {
    if (depth > MAX_DEPTH) throw this.#wrong(`at most ${MAX_DEPTH} levels`);
    const next = this.text[this.#at];
    if (next === '{') return this.#map(origin, depth);
    if (next === '[') return this.#list(origin, depth);
    const token = this.#match(STRING) ?? this.#match(NUMBER) ?? this.#match(WORD);
    if (token === undefined) throw this.#wrong(next === '"' ? 'a valid string' : 'a value');
    return { kind: 'scalar', value: JSON.parse(token), origin };
  }

  #map(origin: Origin, depth: number): ConfigNode {
    const entries = new Map<string, ConfigNode>();
    this.#sequence('}', () => {
      const keyOrigin = this.#origin();
      const token = this.#match(STRING);
      if (token === undefined) throw this.#wrong('a key in double quotes');
      const key = JSON.parse(token) as string;
      if (entries.has(key)) throw this.#wrong(`each key once, ${JSON.stringify(key)} stands here twice`);
      this.#space();
      if (!this.#take(':')) throw this.#wrong('":"');
      this.#space();
      entries.set(key, this.#value(keyOrigin, depth + 1));
    });
    return { kind: 'map', entries, origin };
  }

  #list(origin: Origin, depth: number): ConfigNode {
    const items: ConfigNode[] = [];
    this.#sequence(']', () => items.push(this.#value(this.#origin(), depth + 1)));
    return { kind: 'list', items, origin };
  }

  #sequence(end: string, member: () => void): void {
    this.#at += 1;
    this.#space();
    if (this.#take(end)) return;
    for (;;) {
      member();
      this.#space();
      if (this.#take(end)) return;
      if (!this.#take(',')) throw this.#wrong(`"," or "${end}"`);
      this.#space();
    }
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const token = pattern.exec(this.text)?.[0];
    this.#at += token?.length ?? 0;
    return token;
  }

  #take(character: string): boolean {
    if (this.text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #space(): void {
    for (; ' \t\r\n'.includes(this.text[this.#at] ?? 'x'); this.#at++)
      if (this.text[this.#at] === '\n') this.#line += 1;
  }

  #origin(): Origin {
    return { kind: 'file', file: this.file, line: this.#line };
  }

  #wrong(expected: string): HyperplugError {
    const end = this.#at >= this.text.length ? ', got the end of the file' : '';
    const column = this.#at - this.text.lastIndexOf('\n', this.#at - 1);
    return new HyperplugError(
      'CONFIG_SYNTAX',
      `${this.file}:${this.#line}:${column}: not JSON: expected ${expected}${end}`,
      {
        details: { file: this.file, line: this.#line, column, expected },
      },
    );
  }
}
