import { z } from 'zod';
import type { TemplateInput } from '../../core/template/types.js';
import { type Operation, operation } from '../operation.js';
import { flag, json, nothing } from '../schemas/common.js';
import { templateStatus } from '../schemas/template.js';

const tag = 'templates';
const params = z.strictObject({ name: z.string().min(1).max(64) });

export const templateOperations: readonly Operation[] = [
  operation({
    id: 'createTemplate',
    method: 'POST',
    path: '/v1/templates',
    tag,
    summary: 'Boot a VM, and save it for pods to go on from',
    query: z.strictObject({ replace: flag.optional().describe('though one of this name is there') }),
    body: json.describe('name, and what is not as configured: memoryMib, cpus, nicSlots, kernel, initramfs'),
    answer: { kind: 'json', schema: templateStatus },
    status: 201,
    handle: ({ hyperplug, call }, { query, body }) =>
      hyperplug.templates.create(body as unknown as TemplateInput, { ...call, replace: query.replace ?? false }),
  }),
  operation({
    id: 'listTemplates',
    method: 'GET',
    path: '/v1/templates',
    tag,
    summary: 'List templates',
    answer: { kind: 'json', schema: z.array(templateStatus) },
    handle: ({ hyperplug, call }) => hyperplug.templates.list(call),
  }),
  operation({
    id: 'inspectTemplate',
    method: 'GET',
    path: '/v1/templates/{name}',
    tag,
    summary: 'A template, and whether it is fresh',
    params,
    answer: { kind: 'json', schema: templateStatus },
    handle: ({ hyperplug, call }, { params: { name } }) => hyperplug.templates.inspect(name, call),
  }),
  operation({
    id: 'removeTemplate',
    method: 'DELETE',
    path: '/v1/templates/{name}',
    tag,
    summary: 'Remove a template; pods that were made from it run on',
    params,
    answer: { kind: 'json', schema: nothing },
    handle: async ({ hyperplug, call }, { params: { name } }) => {
      await hyperplug.templates.remove(name, call);
      return null;
    },
  }),
];
