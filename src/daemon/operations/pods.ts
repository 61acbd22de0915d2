import { z } from 'zod';
import { raceSignal } from '../../core/calls.js';
import type { PodFilter } from '../../core/pod/pods-api.js';
import type { PodSpecInput } from '../../core/pod/spec.js';
import { type Operation, operation } from '../operation.js';
import { flag, json, nothing, podParams, textList, wholeNumber } from '../schemas/common.js';
import { heldPod, podStatus, vmExit } from '../schemas/pod.js';
import { podDetails, podEvent, podStats } from '../schemas/pods.js';

const tag = 'pods';
const specBody = json.describe("a pod specification; hyperd's field names are accepted");

const lifeCycle = (verb: 'start' | 'pause' | 'resume', summary: string): Operation =>
  operation({
    id: `${verb}Pod`,
    method: 'POST',
    path: `/v1/pods/{id}/${verb}`,
    tag,
    summary,
    params: podParams,
    answer: { kind: 'json', schema: podDetails },
    handle: ({ hyperplug, call }, { params }) => hyperplug.pods[verb](params.id, call),
  });

/** Of `key=value` texts. */
function labelsOf(texts: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

export const podOperations: readonly Operation[] = [
  operation({
    id: 'listPods',
    method: 'GET',
    path: '/v1/pods',
    tag,
    summary: 'List pods',
    query: z.strictObject({
      state: textList.optional().describe('in one of these states'),
      label: textList.optional().describe('with these labels, `key=value`'),
    }),
    answer: { kind: 'json', schema: z.array(podStatus) },
    handle: ({ hyperplug, call }, { query: { state, label } }) => {
      const states = state as PodFilter['states'];
      const filter = { ...(states && { states }), ...(label && { labels: labelsOf(label) }) };
      return hyperplug.pods.list({ ...call, filter });
    },
  }),
  operation({
    id: 'createPod',
    method: 'POST',
    path: '/v1/pods',
    tag,
    summary: 'Record a pod; nothing runs yet',
    body: specBody,
    answer: { kind: 'json', schema: podDetails },
    status: 201,
    handle: ({ hyperplug, call }, { body }) => hyperplug.pods.create(body, call),
  }),
  operation({
    id: 'runPod',
    method: 'POST',
    path: '/v1/run',
    tag,
    summary: 'Create and start a pod',
    description:
      'A pod whose specification does not say `keep: true` belongs to the session of the header `hyperplug-session`, and is removed when that ends.',
    body: specBody,
    answer: { kind: 'json', schema: heldPod },
    status: 201,
    handle: async ({ hyperplug, keeper, sessions, session, call }, { body }) => {
      const keep = (body as { keep?: unknown } | null)?.keep === true;
      if (!keep && !session) sessions.get('');
      const pod = await hyperplug.createPod(body as PodSpecInput, call);
      keeper.add(pod, keep);
      if (!keep && !session?.add(pod)) {
        await pod.remove();
        call.signal.throwIfAborted();
      }
      return { id: pod.id, keep, nics: pod.nics.list(), consoleLogPath: pod.consoleLogPath };
    },
  }),
  operation({
    id: 'inspectPod',
    method: 'GET',
    path: '/v1/pods/{id}',
    tag,
    summary: 'A pod as it was asked for, and as it is',
    params: podParams,
    answer: { kind: 'json', schema: podDetails },
    handle: ({ hyperplug, call }, { params }) => hyperplug.pods.inspect(params.id, call),
  }),
  operation({
    id: 'removePod',
    method: 'DELETE',
    path: '/v1/pods/{id}',
    tag,
    summary: 'Remove a pod',
    description: 'One that runs is refused (POD_BUSY) without `force`.',
    params: podParams,
    query: z.strictObject({ force: flag.optional() }),
    answer: { kind: 'json', schema: nothing },
    handle: async ({ hyperplug, call }, { params, query }) => {
      await hyperplug.pods.remove(params.id, { ...call, force: query.force ?? false });
      return null;
    },
  }),
  operation({
    id: 'endPod',
    method: 'DELETE',
    path: '/v1/run/{id}',
    tag,
    summary: 'End a pod and remove all that was made for it',
    params: podParams,
    query: z.strictObject({ force: flag.optional() }),
    answer: { kind: 'json', schema: nothing },
    handle: async ({ hyperplug, keeper, session, call }, { params: { id }, query }) => {
      const held = await keeper.peek(id);
      if (held) await held.pod.remove(call);
      else await hyperplug.removePod(id, { ...call, force: query.force ?? false });
      keeper.forget(id);
      session?.drop(id);
      return null;
    },
  }),
  lifeCycle('start', 'Boot a pod; answers when it runs as it was asked for'),
  operation({
    id: 'stopPod',
    method: 'POST',
    path: '/v1/pods/{id}/stop',
    tag,
    summary: 'End the VM of a pod; its record, files and disks stay',
    params: podParams,
    query: z.strictObject({ graceMs: wholeNumber.optional().describe('how long the guest may take to end by itself') }),
    answer: { kind: 'json', schema: podDetails },
    handle: ({ hyperplug, call }, { params, query }) => hyperplug.pods.stop(params.id, { ...call, ...query }),
  }),
  lifeCycle('pause', 'Halt the CPUs of a pod'),
  lifeCycle('resume', 'Let the CPUs of a paused pod go on'),
  operation({
    id: 'waitForPod',
    method: 'GET',
    path: '/v1/pods/{id}/wait',
    tag,
    summary: 'Answers when the VM of a pod has ended, or the pod was removed',
    params: podParams,
    answer: { kind: 'json', schema: podDetails },
    stream: true,
    handle: ({ hyperplug, call }, { params }) => hyperplug.pods.wait(params.id, call),
  }),
  operation({
    id: 'openPod',
    method: 'POST',
    path: '/v1/pods/{id}/open',
    tag,
    summary: 'Have the daemon take hold of a running pod',
    params: podParams,
    answer: { kind: 'json', schema: heldPod },
    handle: async ({ keeper, call }, { params }) => {
      const { pod, keep } = await keeper.get(params.id, call);
      return { id: pod.id, keep, nics: pod.nics.list(), consoleLogPath: pod.consoleLogPath };
    },
  }),
  operation({
    id: 'podExit',
    method: 'GET',
    path: '/v1/pods/{id}/exit',
    tag,
    summary: 'Answers, once, when the VM of a pod has exited',
    params: podParams,
    answer: { kind: 'json', schema: vmExit },
    stream: true,
    handle: async ({ keeper, call }, { params }) => {
      const { pod } = await keeper.get(params.id, call);
      return raceSignal(pod.exited, call.signal, `the end of pod ${pod.id}`);
    },
  }),
  operation({
    id: 'podStats',
    method: 'GET',
    path: '/v1/pods/{id}/stats',
    tag,
    summary: 'Counters of a running pod',
    params: podParams,
    answer: { kind: 'json', schema: podStats },
    handle: ({ hyperplug, call }, { params }) => hyperplug.pods.stats(params.id, call),
  }),
  operation({
    id: 'podLogs',
    method: 'GET',
    path: '/v1/pods/{id}/logs',
    tag,
    summary: "The guest's console, or the output of a container",
    params: podParams,
    query: z.strictObject({
      container: z.string().min(1).max(128).optional(),
      follow: flag.optional().describe('go on as it grows, until the pod ends'),
      tail: wholeNumber.optional().describe('the last lines alone'),
    }),
    answer: { kind: 'bytes', contentType: 'application/octet-stream' },
    stream: true,
    handle: async ({ hyperplug, call }, { params, query }) =>
      hyperplug.pods.logs(params.id, { signal: call.signal, ...query }),
  }),
  operation({
    id: 'events',
    method: 'GET',
    path: '/v1/events',
    tag,
    summary: 'What happens to pods, whichever process acts',
    query: z.strictObject({
      pod: textList.optional().describe('of these pods alone'),
      since: wholeNumber.optional().describe('those after this sequence, as far as they are kept'),
      follow: flag.optional().describe('go on as they happen'),
    }),
    answer: { kind: 'lines', schema: podEvent },
    stream: true,
    handle: async ({ hyperplug, call }, { query: { pod, since, follow } }) =>
      hyperplug.pods.events({
        signal: call.signal,
        ...(pod && { pods: pod }),
        ...(since !== undefined && { since }),
        follow: follow ?? false,
      }),
  }),
];
