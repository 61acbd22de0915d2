import { z } from 'zod';
import { type Operation, operation } from '../operation.js';
import { flag, textList } from '../schemas/common.js';
import { networkNames, networkRepair, networkReport } from '../schemas/network.js';

const tag = 'networks';

export const networkOperations: readonly Operation[] = [
  operation({
    id: 'networkStatus',
    method: 'GET',
    path: '/v1/networks',
    tag,
    summary: 'The configured networks, as they are found',
    query: z.strictObject({ name: textList.optional() }),
    answer: { kind: 'json', schema: z.array(networkReport) },
    handle: ({ hyperplug, call }, { query }) => hyperplug.networks.status(query.name, call),
  }),
  operation({
    id: 'initNetworks',
    method: 'POST',
    path: '/v1/networks/init',
    tag,
    summary: 'Make networks ready',
    body: networkNames,
    answer: { kind: 'json', schema: z.array(networkReport) },
    handle: ({ hyperplug, call }, { body }) => hyperplug.networks.init(body.names, call),
  }),
  operation({
    id: 'repairNetworks',
    method: 'POST',
    path: '/v1/networks/repair',
    tag,
    summary: 'Put right what differs',
    body: networkNames,
    answer: { kind: 'json', schema: z.array(networkRepair) },
    handle: ({ hyperplug, call }, { body }) => hyperplug.networks.repair(body.names, call),
  }),
  operation({
    id: 'teardownNetworks',
    method: 'POST',
    path: '/v1/networks/teardown',
    tag,
    summary: 'Remove what init made',
    body: networkNames,
    query: z.strictObject({ force: flag.optional().describe('though pods have NICs there') }),
    answer: { kind: 'json', schema: z.array(z.string()) },
    handle: ({ hyperplug, call }, { body, query }) =>
      hyperplug.networks.teardown(body.names, { ...call, force: query.force ?? false }),
  }),
];
