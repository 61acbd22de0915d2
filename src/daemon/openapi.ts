import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import type { ErrorCode } from '../core/error-codes.js';
import { ERROR_CODES } from '../core/error-codes.js';
import type { Answer, Operation } from './operation.js';
import { errorBody } from './schemas/common.js';
import { httpStatus } from './status-codes.js';

type Json = Record<string, unknown>;

const DESCRIPTION = `Pods over HTTP on a unix socket. Headers of any request: \`hyperplug-timeout-ms\` (deadline), \`hyperplug-request-id\`
(of the client's choosing, to cancel by), \`hyperplug-session\`. A client that goes away ends what it asked for.`;

/** OpenAPI 3.1 of the operations: its schemas are those by which requests are checked. */
export function openApiDocument(operations: readonly Operation[], version: string): Json {
  const components: Json = {};
  const paths: Record<string, Json> = {};
  for (const each of operations) {
    paths[each.path] = { ...paths[each.path], [each.method.toLowerCase()]: describe(each, components) };
  }
  schemaOf(errorBody, 'output', components);
  return {
    openapi: '3.1.0',
    info: {
      title: 'hyperplug',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    tags: [...new Set(operations.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: components,
      responses: { Error: { description: errorText(), content: { 'application/json': { schema: ref('Error') } } } },
    },
  };
}

function describe(
  { id, tag, summary, description, params, query, body, maxBodyBytes, answer, status = 200 }: Operation,
  components: Json,
): Json {
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description && { description }),
    ...((params || query) && {
      parameters: [...parameters(params, 'path', components), ...parameters(query, 'query', components)],
    }),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body, 'input', components) } } },
    }),
    ...(maxBodyBytes && {
      requestBody: {
        required: true,
        description: `at most ${maxBodyBytes} bytes`,
        content: { 'application/octet-stream': { schema: {} } },
      },
    }),
    responses: {
      [status]: { description: STATUS_CODES[status], content: contentOf(answer, components) },
      default: { $ref: '#/components/responses/Error' },
    },
  };
}

function contentOf(answer: Answer, components: Json): Json {
  if (answer.kind === 'bytes') return { [answer.contentType]: { schema: {} } };
  const schema = schemaOf(answer.schema, 'output', components);
  return { [answer.kind === 'json' ? 'application/json' : 'application/x-ndjson']: { schema } };
}

function parameters(schema: z.ZodType | undefined, place: 'path' | 'query', components: Json): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input', components) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema: rest,
  }));
}

/** Schemas that have an id stand among the components, once. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', components: Json): Json {
  const {
    $schema: _,
    $defs = {},
    ...made
  } = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' }) as Json & {
    $defs?: Record<string, Json>;
  };
  const rename = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(rename);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => key !== 'id' || typeof (value as Json).id !== 'string')
        .map(([key, member]) => [
          key,
          key === '$ref'
            ? String(member).replace('#/$defs/', '#/components/schemas/').replace(/^#$/, '#')
            : rename(member),
        ]),
    );
  };
  for (const [name, definition] of Object.entries($defs)) components[name] ??= rename(definition);
  const id = z.globalRegistry.get(schema)?.id;
  const body = rename(made) as Json;
  if (id === undefined) return body;
  components[id] ??= body;
  return ref(id);
}

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

function errorText(): string {
  const rows = (Object.keys(ERROR_CODES) as ErrorCode[]).map((code) => `${code} (${httpStatus(code)})`);
  return `An error; \`code\` is one of: ${rows.join(', ')}.`;
}
