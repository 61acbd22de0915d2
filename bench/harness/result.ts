import { z } from 'zod';
import { ROLES, UNITS } from './scenario.js';

const finite = z.number();
const summary = z.strictObject({
  median: finite,
  low: finite.describe('first quartile'),
  high: finite.describe('third quartile'),
  min: finite,
  max: finite,
});

const target = z.union([
  z.strictObject({ atMost: z.number().positive().describe('times the cost of the other') }),
  z.strictObject({ timesBetter: z.number().positive().describe('faster, or smaller, than the other') }),
]);

const measured = z.strictObject({
  name: z.string(),
  role: z.enum(['ours', ...ROLES]),
  samples: z.array(finite).min(1),
  summary,
});

const rival = z.union([
  measured.extend({
    role: z.enum(ROLES),
    cost: summary.describe('of ours against this one, round by round: 1 is the same, less is better'),
    target: target.optional(),
    met: z.boolean().optional(),
  }),
  z.strictObject({
    name: z.string(),
    role: z.enum(ROLES),
    target: target.optional(),
    missing: z.string().describe('why it was not measured'),
  }),
]);

const comparison = z.strictObject({
  title: z.string(),
  unit: z.enum(UNITS),
  ours: measured.extend({
    role: z.literal('ours'),
    limit: finite.optional().describe('what the median shall not exceed'),
    met: z.boolean().optional(),
  }),
  against: z.array(rival),
});

export const scenarioResult = z.strictObject({
  name: z.string(),
  takenAt: z.iso.datetime(),
  seconds: finite,
  load: z.array(finite).length(3).describe('load averages before it'),
  skipped: z.string().optional().describe('why nothing of it was measured'),
  failed: z.string().optional(),
  comparisons: z.array(comparison),
});

/** What a run of `npm run bench` writes. */
export const benchResult = z.strictObject({
  version: z.literal(1),
  machine: z.strictObject({ cpu: z.string(), cpus: z.int(), memoryMib: z.int(), kernel: z.string() }),
  versions: z
    .record(z.string(), z.string())
    .describe('of Node and of what was measured against, where it is installed'),
  scenarios: z.array(scenarioResult),
});

export type BenchResult = z.infer<typeof benchResult>;
export type ScenarioResult = z.infer<typeof scenarioResult>;
export type ComparisonResult = z.infer<typeof comparison>;
export type RivalResult = z.infer<typeof rival>;
export type MeasuredRival = Extract<RivalResult, { readonly summary: unknown }>;
