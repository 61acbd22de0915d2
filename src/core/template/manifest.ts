import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HyperplugError } from '../errors.js';
import type { SavedTemplate } from '../hypervisor.js';

const NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;
export const AUTOMATIC_PREFIX = 'auto-';
/** In place of a template's name: one that fits; none at all. */
export const AUTO = 'auto';
export const NO_TEMPLATE = 'none';
export const MANIFEST = 'template.json';

/** What all clones of a template have, whatever pod they become. */
export interface TemplateShape {
  readonly memoryMib: number;
  readonly cpus: number;
  readonly nicSlots: number;
  readonly kernel?: string;
  readonly initramfs?: string;
}

/** template.json: what stands in a template's directory beside the driver's files. */
export interface TemplateManifest extends TemplateShape {
  readonly version: 1;
  readonly name: string;
  readonly automatic: boolean;
  readonly hypervisor: string;
  readonly image: string;
  readonly agent: { readonly plugin: string; readonly description: string };
  readonly saved: SavedTemplate;
  readonly sizeBytes: number;
  readonly createdAt: string;
}

export function shapeOf({ memoryMib, cpus, nicSlots, kernel, initramfs }: TemplateShape): TemplateShape {
  return { memoryMib, cpus, nicSlots, ...(kernel && { kernel }), ...(initramfs && { initramfs }) };
}

const manifestSchema = z.object({
  version: z.literal(1),
  name: z.string().regex(NAME),
  automatic: z.boolean(),
  memoryMib: z.int().positive(),
  cpus: z.int().positive(),
  nicSlots: z.int().min(0),
  kernel: z.string().startsWith('/').optional(),
  initramfs: z.string().startsWith('/').optional(),
  hypervisor: z.string(),
  image: z.string(),
  agent: z.object({ plugin: z.string(), description: z.string() }),
  saved: z.looseObject({ version: z.literal(1), driver: z.string(), key: z.string(), data: z.unknown() }),
  sizeBytes: z.number(),
  createdAt: z.string(),
});

export const isTemplateName = (text: string): boolean => NAME.test(text) && text !== AUTO && text !== NO_TEMPLATE;

export const TEMPLATE_NAME = `lower-case letters, digits and dashes, at most 41, not beginning with a dash, and neither ${AUTO} nor ${NO_TEMPLATE}`;

/** undefined: there is no such file. @throws TEMPLATE_STALE it cannot be read, or another version wrote it. */
export async function readManifest(directory: string, name: string): Promise<TemplateManifest | undefined> {
  const text = await readFile(join(directory, MANIFEST), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw unreadable(name, error.message);
  });
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw unreadable(name, (error as Error).message);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success || parsed.data.name !== name) throw unreadable(name, 'another version of this program wrote it');
  return parsed.data as TemplateManifest;
}

function unreadable(name: string, why: string): HyperplugError {
  return new HyperplugError('TEMPLATE_STALE', `template ${name}: ${MANIFEST} cannot be read: ${why}`, {
    details: { field: 'template', received: name },
  });
}
