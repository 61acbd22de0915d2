import { z } from 'zod';
import { type Operation, operation } from '../operation.js';
import { nothing, podParams } from '../schemas/common.js';

const tag = 'files';
/** What the agent's protocol carries. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const fileQuery = z.strictObject({ path: z.string().min(1).max(4096).describe('absolute, in the guest') });

export const fileOperations: readonly Operation[] = [
  operation({
    id: 'readFile',
    method: 'GET',
    path: '/v1/pods/{id}/file',
    tag,
    summary: 'A file of the guest, at most 16 MiB',
    params: podParams,
    query: fileQuery,
    answer: { kind: 'bytes', contentType: 'application/octet-stream' },
    handle: async ({ keeper, call }, { params, query }) =>
      (await keeper.get(params.id, call)).pod.files.read(query.path, call),
  }),
  operation({
    id: 'writeFile',
    method: 'PUT',
    path: '/v1/pods/{id}/file',
    tag,
    summary: 'Write a file of the guest, in one step, at most 16 MiB',
    params: podParams,
    query: fileQuery,
    maxBodyBytes: MAX_FILE_BYTES,
    answer: { kind: 'json', schema: nothing },
    handle: async ({ keeper, call }, { params, query, body }) => {
      await (await keeper.get(params.id, call)).pod.files.write(query.path, body, call);
      return null;
    },
  }),
];
