import { z } from 'zod';
import type { NicInput, PortInput } from '../../core/pod/interface-spec.js';
import type { Pod, PodNic } from '../../core/pod/types.js';
import { type Context, type Operation, operation } from '../operation.js';
import { json, nicParams, podParams } from '../schemas/common.js';
import { nicChange, podNic, podRoute, portMapping, portSelector, route } from '../schemas/pod.js';

const tag = 'network of a pod';

/** After a change all NICs come along, so that a client knows the pod without asking again. */
const changed = (result: z.ZodType) => z.object({ result, nics: z.array(podNic) });

async function change(
  { keeper, call }: Context,
  id: string,
  act: (pod: Pod, call: Context['call']) => Promise<unknown>,
): Promise<{ result: unknown; nics: readonly PodNic[] }> {
  const { pod } = await keeper.get(id, call);
  const result = (await act(pod, call)) ?? null;
  return { result, nics: pod.nics.list() };
}

const routeList = z.array(route).max(1024);
const selectors = z.array(portSelector).max(1024);

export const podNetworkOperations: readonly Operation[] = [
  operation({
    id: 'readNics',
    method: 'GET',
    path: '/v1/pods/{id}/nics',
    tag,
    summary: "A pod's NICs, as the guest has them now",
    params: podParams,
    answer: { kind: 'json', schema: changed(z.array(podNic)) },
    handle: (context, { params }) => change(context, params.id, (pod, call) => pod.nics.read(call)),
  }),
  operation({
    id: 'addNics',
    method: 'POST',
    path: '/v1/pods/{id}/nics',
    tag,
    summary: 'Add NICs to a running pod, all or none',
    params: podParams,
    body: json.describe('a list of interfaces, as in a pod specification, each with its own `portmappings`'),
    answer: { kind: 'json', schema: changed(z.array(podNic)) },
    status: 201,
    handle: (context, { params, body }) =>
      change(context, params.id, (pod, call) => pod.nics.add(body as unknown as readonly NicInput[], call)),
  }),
  operation({
    id: 'updateNic',
    method: 'PATCH',
    path: '/v1/pods/{id}/nics/{nic}',
    tag,
    summary: 'Change addresses, name or MTU of a NIC, all or nothing',
    params: nicParams,
    body: nicChange,
    answer: { kind: 'json', schema: changed(podNic) },
    handle: (context, { params, body }) =>
      change(context, params.id, (pod, call) => pod.nics.update(params.nic, body, call)),
  }),
  operation({
    id: 'removeNic',
    method: 'DELETE',
    path: '/v1/pods/{id}/nics/{nic}',
    tag,
    summary: 'Take a NIC away, with its ports, routes and addresses',
    params: nicParams,
    answer: { kind: 'json', schema: changed(z.null()) },
    handle: (context, { params }) => change(context, params.id, (pod, call) => pod.nics.remove(params.nic, call)),
  }),
  operation({
    id: 'readRoutes',
    method: 'GET',
    path: '/v1/pods/{id}/routes',
    tag,
    summary: "The guest's routes, and those of ours that it lacks",
    params: podParams,
    answer: { kind: 'json', schema: changed(z.array(podRoute)) },
    handle: (context, { params }) => change(context, params.id, (pod, call) => pod.routes.list(call)),
  }),
  operation({
    id: 'addRoutes',
    method: 'POST',
    path: '/v1/pods/{id}/routes',
    tag,
    summary: 'Add routes, all or none',
    params: podParams,
    body: routeList,
    answer: { kind: 'json', schema: changed(z.null()) },
    status: 201,
    handle: (context, { params, body }) => change(context, params.id, (pod, call) => pod.routes.add(body, call)),
  }),
  operation({
    id: 'removeRoutes',
    method: 'POST',
    path: '/v1/pods/{id}/routes/remove',
    tag,
    summary: 'Remove routes; one that is gone is no error',
    params: podParams,
    body: routeList,
    answer: { kind: 'json', schema: changed(z.null()) },
    handle: (context, { params, body }) => change(context, params.id, (pod, call) => pod.routes.remove(body, call)),
  }),
  operation({
    id: 'publishPorts',
    method: 'POST',
    path: '/v1/pods/{id}/ports',
    tag,
    summary: 'Publish ports of a pod, all or none',
    params: podParams,
    body: json.describe('a list of `portmappings`, as in a pod specification'),
    answer: { kind: 'json', schema: changed(z.array(portMapping)) },
    status: 201,
    handle: (context, { params, body }) =>
      change(context, params.id, (pod, call) => pod.ports.add(body as unknown as readonly PortInput[], call)),
  }),
  operation({
    id: 'unpublishPorts',
    method: 'POST',
    path: '/v1/pods/{id}/ports/remove',
    tag,
    summary: 'Withdraw published ports; answers those that were',
    params: podParams,
    body: selectors,
    answer: { kind: 'json', schema: changed(z.array(portMapping)) },
    handle: (context, { params, body }) => change(context, params.id, (pod, call) => pod.ports.remove(body, call)),
  }),
];
