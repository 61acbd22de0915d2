import { z } from 'zod';

/** Of files, volumes and containers: also a path's part, so neither `.` nor `..`. */
export const partName = z
  .string()
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/, 'letters, digits, dashes, dots and underscores, at most 128');

const noNul = (text: string) => !text.includes('\0');
export const plainText = z.string().max(65_536).refine(noNul, 'text without NUL');

export const absolutePath = z
  .string()
  .max(4096)
  .refine((text) => text.startsWith('/') && noNul(text), 'an absolute path');

/** In the guest; where it leads is the guest's kernel's to say, and stays within the root it is in. */
export const guestPath = absolutePath
  .refine((text) => !text.split('/').includes('..'), 'an absolute path without ".."')
  .refine((text) => /[^/]/.test(text), 'another path than /');

export const sizeMib = z.number().int().min(16).max(16_777_216);

/** hyperd's list of `{ env, value }`, or a map. */
export const environment = z.union([
  z.record(z.string().regex(/^[^=\0]+$/, 'a name without "="'), plainText),
  z.array(z.strictObject({ env: z.string().regex(/^[^=\0]+$/, 'a name without "="'), value: plainText.default('') })),
]);

export function environmentMap(input: z.output<typeof environment> | undefined): Record<string, string> {
  if (!Array.isArray(input)) return { ...input };
  return Object.fromEntries(input.map(({ env, value }) => [env, value]));
}

export const RESTART_POLICIES = ['never', 'onFailure', 'always'] as const;
export type RestartPolicy = (typeof RESTART_POLICIES)[number];
/** hyperd takes an empty one for none. */
export const restartPolicy = z
  .enum([...RESTART_POLICIES, ''])
  .optional()
  .transform((policy) => policy || undefined);

/** A list, or one string, which is a list of itself alone: nothing is split as a shell would. */
export const argv = z
  .union([z.array(plainText).max(4096), plainText])
  .transform((value) => (Array.isArray(value) ? value : [value]));
