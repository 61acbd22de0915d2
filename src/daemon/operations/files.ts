import { z } from 'zod';
import { type Operation, operation } from '../operation.js';
import { nothing, podParams, wholeNumber } from '../schemas/common.js';

const tag = 'files';
/** What the agent's protocol carries. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const fileQuery = z.strictObject({
  path: z.string().min(1).max(4096).describe('absolute, in the guest'),
  container: z.string().min(1).max(128).optional().describe('id of the container whose root it is in'),
});
const account = z.string().min(1).max(64).optional().describe('name or number; default: as it is, root for a new file');
const newFileQuery = fileQuery.extend({
  mode: wholeNumber
    .optional()
    .describe('permission bits, as a decimal number; default: as they are, 420 (0644) for a new file'),
  user: account,
  group: account,
});

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
    handle: async ({ keeper, call }, { params, query: { path, ...target } }) =>
      (await keeper.get(params.id, call)).pod.files.read(path, { ...call, ...target }),
  }),
  operation({
    id: 'writeFile',
    method: 'PUT',
    path: '/v1/pods/{id}/file',
    tag,
    summary: 'Write a file of the guest, in one step, at most 16 MiB',
    params: podParams,
    query: newFileQuery,
    maxBodyBytes: MAX_FILE_BYTES,
    answer: { kind: 'json', schema: nothing },
    handle: async ({ keeper, call }, { params, query, body }) => {
      const { path, ...target } = query;
      await (await keeper.get(params.id, call)).pod.files.write(path, body, { ...call, ...target });
      return null;
    },
  }),
];
