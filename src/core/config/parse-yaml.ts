import type { Alias, Document, Node, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { HyperplugError } from '../errors.js';
import type { Origin } from './origin.js';
import { type ConfigNode, emptyTree } from './tree.js';

/** More nodes than any configuration has; it ends what aliases of aliases unfold to. */
const MAX_NODES = 20_000;

/**
 * YAML 1.2 (core schema) with the line of every value; an empty file is an empty map. The parser is imported here, as most
 * starts have no YAML file.
 * @throws CONFIG_SYNTAX with `file` and `line`; no line of the file is shown, which may be secret.
 */
export async function parseYaml(text: string, file: string): Promise<ConfigNode> {
  // A CommonJS package: bundled, its names are on `default` alone.
  const { default: yaml } = await import('yaml');
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (offset: number) => Math.max(1, lines.linePos(offset).line);
  const wrong = (line: number, reason: string) =>
    new HyperplugError('CONFIG_SYNTAX', `${file}:${line}: not YAML: ${reason}`, { details: { file, line, reason } });
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw wrong(lineOf(problem.pos[0]), problem.message);

  let count = 0;
  const originOf = (node: Node): Origin => ({ kind: 'file', file, line: lineOf(node.range?.[0] ?? 0) });
  const convert = (node: Node | null, origin: Origin): ConfigNode => {
    const line = origin.kind === 'file' ? origin.line : 1;
    count += 1;
    if (count > MAX_NODES) throw wrong(line, `more than ${MAX_NODES} values`);
    if (node === null) return { kind: 'scalar', value: null, origin };
    if (yaml.isAlias(node)) {
      const target = (node as Alias).resolve(document as Document);
      if (!target) throw wrong(line, `no anchor ${(node as Alias).source}`);
      return convert(target, origin);
    }
    if (yaml.isMap(node)) return convertMap(node, origin);
    if (yaml.isSeq(node)) {
      const items = (node as YAMLSeq<Node | null>).items;
      return { kind: 'list', items: items.map((item) => convert(item, item ? originOf(item) : origin)), origin };
    }
    const { value } = node as Scalar;
    if (value !== null && !['boolean', 'number', 'string'].includes(typeof value)) {
      throw wrong(line, 'expected text, a number, a boolean or null');
    }
    return { kind: 'scalar', value: value as string, origin };
  };
  const convertMap = (node: YAMLMap<unknown, unknown>, origin: Origin): ConfigNode => {
    const entries = new Map<string, ConfigNode>();
    for (const { key, value } of node.items as { key: Node; value: Node | null }[]) {
      const keyOrigin = originOf(key);
      const name = yaml.isScalar(key) ? key.value : undefined;
      if (typeof name !== 'string' && typeof name !== 'number') {
        throw wrong(keyOrigin.kind === 'file' ? keyOrigin.line : 1, 'expected a key that is text');
      }
      entries.set(String(name), convert(value, keyOrigin));
    }
    return { kind: 'map', entries, origin };
  };
  if (document.contents === null) return emptyTree;
  return convert(document.contents as Node, originOf(document.contents as Node));
}
