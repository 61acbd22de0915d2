import { z } from 'zod';
import { type Operation, operation } from '../operation.js';
import { wholeNumber } from '../schemas/common.js';
import { poolStatus } from '../schemas/template.js';

const tag = 'pool';
const answer = { kind: 'json', schema: poolStatus } as const;

export const poolOperations: readonly Operation[] = [
  operation({
    id: 'poolStatus',
    method: 'GET',
    path: '/v1/pool',
    tag,
    summary: 'The VMs that run and wait for pods',
    answer,
    handle: ({ hyperplug, call }) => hyperplug.pool.status(call),
  }),
  operation({
    id: 'fillPool',
    method: 'POST',
    path: '/v1/pool/fill',
    tag,
    summary: 'Keep so many clones ready from now on; answers when they are there',
    query: z.strictObject({ size: wholeNumber.optional().describe("without it the configuration's pool.size") }),
    answer,
    handle: ({ hyperplug, call }, { query: { size } }) =>
      hyperplug.pool.fill({ ...call, ...(size !== undefined && { size }) }),
  }),
  operation({
    id: 'drainPool',
    method: 'POST',
    path: '/v1/pool/drain',
    tag,
    summary: 'End all clones, and make no more until the pool is filled again',
    answer,
    handle: ({ hyperplug, call }) => hyperplug.pool.drain(call),
  }),
];
