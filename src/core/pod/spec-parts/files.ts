import { z } from 'zod';
import { wrong } from '../spec-errors.js';
import { guestPath, partName } from './common.js';

/** What the agent takes in one piece. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

export const fileSchema = z.strictObject({
  name: partName,
  encoding: z.enum(['raw', 'base64', '']).optional().describe('of content; default raw, which is UTF-8'),
  content: z.string().optional(),
  uri: z
    .union([z.string().regex(/^file:\/\/\/.+/, 'file:///PATH of this host (nothing is fetched)'), z.literal('')])
    .optional()
    .describe('read at each start, instead of content'),
  path: guestPath.optional().describe("where it goes in the pod's own root; containers name their own place"),
  perm: z.string().optional(),
  user: z.string().optional(),
  group: z.string().optional(),
});

export const fileReferenceSchema = z.strictObject({
  path: guestPath,
  filename: z.string().optional(),
  perm: z.string().optional().describe('octal; default 0755, as hyperd has it'),
  user: z.string().optional(),
  group: z.string().optional(),
  detail: fileSchema.optional().describe('the file itself, instead of its name'),
});

export interface FileSpec {
  readonly name: string;
  /** Its content, or the path of the host where that stands. */
  readonly source: { readonly base64: string } | { readonly hostPath: string };
}

export interface FilePlace {
  readonly path: string;
  readonly file: FileSpec;
  readonly mode: number;
  readonly user: string | undefined;
  readonly group: string | undefined;
}

/** @throws POD_SPEC_INVALID */
export function completeFile(input: z.output<typeof fileSchema>, field: string): FileSpec {
  const { name, encoding, content } = input;
  const uri = input.uri || undefined;
  if (uri !== undefined) {
    if (content) throw wrong(`${field}.content`, 'nothing beside uri', content);
    return { name, source: { hostPath: hostPath(uri, `${field}.uri`) } };
  }
  const text = content ?? '';
  if (
    encoding === 'base64' &&
    !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text.replaceAll(/\s/g, ''))
  ) {
    throw wrong(`${field}.content`, 'base64', text);
  }
  const bytes = Buffer.from(text, encoding === 'base64' ? 'base64' : 'utf8');
  if (bytes.length > MAX_FILE_BYTES)
    throw wrong(`${field}.content`, `at most ${MAX_FILE_BYTES} bytes`, `${bytes.length} bytes`);
  return { name, source: { base64: bytes.toString('base64') } };
}

function hostPath(uri: string, field: string): string {
  try {
    const path = decodeURIComponent(new URL(uri).pathname);
    if (!path.includes('\0')) return path;
  } catch {
    // Told below.
  }
  throw wrong(field, 'file:///PATH of this host', uri);
}

const DEFAULT_PERM = '0755';

/** @throws POD_SPEC_INVALID */
export function completePlace(
  input: Pick<z.output<typeof fileReferenceSchema>, 'path' | 'perm' | 'user' | 'group'>,
  file: FileSpec,
  field: string,
): FilePlace {
  const { path, user, group } = input;
  const perm = input.perm || DEFAULT_PERM;
  if (!/^0?[0-7]{3}$|^0$/.test(perm)) throw wrong(`${field}.perm`, 'octal digits like "0644"', perm);
  return { path, file, mode: Number.parseInt(perm, 8), user: user || undefined, group: group || undefined };
}
