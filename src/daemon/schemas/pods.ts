import { z } from 'zod';
import type { ContainerStatus, PodDetails, PodEvent, PodStats } from '../../core/pod/pods-api.js';
import { json, time } from './common.js';
import { podStatus, vmExit } from './pod.js';

const containerStatus = z
  .object({
    id: z.string(),
    name: z.string(),
    image: z.string().nullable(),
    state: z.enum(['created', 'running', 'exited']),
    exitCode: z.int().nullable(),
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
  })
  .meta({ id: 'ContainerStatus' }) satisfies z.ZodType<ContainerStatus>;

export const podDetails = podStatus
  .extend({
    hostname: z.string(),
    spec: json.describe('as parsed, with every default; it can be given to create a pod again'),
    containers: z.array(containerStatus),
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
    exit: vmExit.nullable(),
    failure: z.string().nullable(),
  })
  .meta({ id: 'PodDetails' }) satisfies z.ZodType<PodDetails>;

export const podStats = z
  .object({
    time,
    host: z.object({ cpuMs: z.number(), memoryPssBytes: z.number() }),
    guest: z
      .object({
        uptimeMs: z.number(),
        cpuMs: z.number(),
        memoryTotalBytes: z.number(),
        memoryAvailableBytes: z.number(),
        processes: z.number(),
      })
      .nullable()
      .describe('as the guest tells, which may lie'),
    nics: z.array(
      z.object({
        id: z.string(),
        receivedBytes: z.number(),
        receivedPackets: z.number(),
        sentBytes: z.number(),
        sentPackets: z.number(),
      }),
    ),
  })
  .meta({ id: 'PodStats' }) satisfies z.ZodType<PodStats>;

export const podEvent = z
  .object({
    sequence: z.int().describe('resume after it with ?since='),
    time,
    pod: z.string(),
    type: z.string() as unknown as z.ZodType<PodEvent['type']>,
    data: z.record(z.string(), json),
  })
  .meta({ id: 'PodEvent' }) satisfies z.ZodType<PodEvent>;
