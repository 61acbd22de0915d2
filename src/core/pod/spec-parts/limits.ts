import { z } from 'zod';
import { RESOURCE_LIMITS, type ResourceLimit } from '../../container.js';
import { wrong } from '../spec-errors.js';

const value = z.union([z.number().refine(Number.isInteger, 'an integer').min(-1), z.literal('unlimited')]);

/** hyperd's, one of each name. */
export const limitSchema = z.strictObject({
  name: z.string().describe(`of setrlimit(2): ${RESOURCE_LIMITS.join(', ')}; with RLIMIT_ before it or not`),
  soft: value.optional().describe('-1 or unlimited: no limit; default: as hard'),
  hard: value.optional().describe('default: as soft'),
});

/** @throws POD_SPEC_INVALID */
export function completeLimits(inputs: readonly z.output<typeof limitSchema>[] = [], field: string): ResourceLimit[] {
  const limits = inputs.map((input, index) => completeLimit(input, `${field}[${index}]`));
  for (const [index, { name }] of limits.entries()) {
    if (limits.findIndex((other) => other.name === name) !== index) {
      throw wrong(`${field}[${index}].name`, 'a limit of its own', name);
    }
  }
  return limits;
}

function completeLimit(input: z.output<typeof limitSchema>, field: string): ResourceLimit {
  const text = input.name.toLowerCase().replace(/^rlimit_/, '');
  const name = RESOURCE_LIMITS.find((known) => known === text);
  if (!name) throw wrong(`${field}.name`, `one of ${RESOURCE_LIMITS.join(', ')}`, input.name);
  const given = input.hard ?? input.soft;
  if (given === undefined) throw wrong(`${field}.hard`, 'a number, or unlimited', undefined);
  const hard = limitOf(given);
  const soft = limitOf(input.soft ?? given);
  if (hard !== null && (soft === null || soft > hard))
    throw wrong(`${field}.soft`, `at most the hard one, ${hard}`, soft);
  return { name, soft, hard };
}

/** Above what is exact in JSON there is only hyperd's largest, which means none. */
const limitOf = (given: number | 'unlimited') =>
  given === 'unlimited' || given === -1 || !Number.isSafeInteger(given) ? null : given;
