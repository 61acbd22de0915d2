import { HyperplugError } from '../errors.js';
import { wrong } from './spec-errors.js';

/** More than anybody writes by hand; what aliases of aliases unfold to is bounded by the parser. */
const MAX_DOCUMENTS = 1_000;

/**
 * Pod specifications of a file: YAML documents, or JSON, which is YAML too; a document that is a list holds several. Nothing
 * of them is checked here.
 * @throws POD_SPEC_INVALID with file and line
 */
export async function parsePodDocuments(text: string, file: string): Promise<readonly unknown[]> {
  // A CommonJS package: bundled, its names are on `default` alone.
  const { default: yaml } = await import('yaml');
  const lines = new yaml.LineCounter();
  const documents = yaml.parseAllDocuments(text, { lineCounter: lines, prettyErrors: false });
  const invalid = (offset: number, reason: string) => {
    const line = Math.max(1, lines.linePos(offset).line);
    const details = { file, line, reason };
    return new HyperplugError('POD_SPEC_INVALID', `${file}:${line}: not YAML: ${reason}`, { details });
  };
  const specs: unknown[] = [];
  for (const document of 'empty' in documents ? [] : documents) {
    const problem = document.errors[0] ?? document.warnings[0];
    if (problem) throw invalid(problem.pos[0], problem.message);
    let value: unknown;
    try {
      value = document.toJS();
      refuseCycles(value, new Set());
    } catch (error) {
      throw invalid(document.range?.[0] ?? 0, error instanceof Error ? error.message : String(error));
    }
    if (Array.isArray(value)) specs.push(...value);
    else if (value !== null) specs.push(value);
  }
  if (specs.length === 0 || specs.length > MAX_DOCUMENTS) {
    throw wrong(file, `1 to ${MAX_DOCUMENTS} pods`, specs.length);
  }
  return specs;
}

/** An alias may name what it stands in; nothing that follows would come to its end. */
function refuseCycles(value: unknown, within: Set<unknown>): void {
  if (typeof value !== 'object' || value === null) return;
  if (within.has(value)) throw new TypeError('expected an alias of something else, got one of what it stands in');
  within.add(value);
  for (const member of Object.values(value)) refuseCycles(member, within);
  within.delete(value);
}

/** The id of a specification. @throws POD_SPEC_INVALID it names none. */
export function idOfDocument(spec: unknown, file: string, index: number): string {
  const id = typeof spec === 'object' && spec !== null ? (spec as { id?: unknown }).id : undefined;
  if (typeof id === 'string') return id;
  throw wrong(`${file}: pod ${index + 1}: id`, 'text, to know the pod by', id);
}
