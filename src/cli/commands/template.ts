import { resolve } from 'node:path';
import type { TemplateStatus } from '../../core/template/types.js';
import type { CommandContext } from '../context.js';
import { EXIT, errorObject } from '../errors.js';
import { bytesText } from '../pod-text.js';
import { age, table } from '../text.js';

const HEADER = ['TEMPLATE', 'STATE', 'AGE', 'DRIVER', 'CPUS', 'MEMORY', 'NICS', 'SIZE', 'WHY'];

export interface CreateOptions {
  readonly memory?: number;
  readonly cpus?: number;
  readonly nics?: number;
  readonly kernel?: string;
  readonly initramfs?: string;
  readonly replace?: boolean;
}

export function create(context: CommandContext, name: string, options: CreateOptions): Promise<number> {
  const { memory, cpus, nics, kernel, initramfs, replace = false } = options;
  const template = {
    name,
    ...(memory !== undefined && { memoryMib: memory }),
    ...(cpus !== undefined && { cpus }),
    ...(nics !== undefined && { nicSlots: nics }),
    ...(kernel !== undefined && { kernel: resolve(kernel) }),
    ...(initramfs !== undefined && { initramfs: resolve(initramfs) }),
  };
  return context.withHyperplug(async ({ templates }) => {
    const made = await templates.create(template, { ...context.call, replace });
    await context.print(made, () => `${made.name}\n`);
    return EXIT.ok;
  });
}

export function ls(context: CommandContext): Promise<number> {
  return context.withHyperplug(async ({ templates }) => {
    const all = await templates.list(context.call);
    await context.print(all, () => table(HEADER, all.map(row)));
    return EXIT.ok;
  });
}

/** As JSON, whatever the output is. */
export function inspect(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async ({ templates }) => {
    const all: TemplateStatus[] = [];
    for (const name of names) all.push(await templates.inspect(name, context.call));
    await context.print(all, () => `${JSON.stringify(all, undefined, 2)}\n`);
    return EXIT.ok;
  });
}

/** Goes on past failures and reports each; the exit code tells whether all are gone. */
export function rm(context: CommandContext, names: readonly string[]): Promise<number> {
  return context.withHyperplug(async ({ templates }) => {
    const results: Record<string, unknown>[] = [];
    for (const name of new Set(names)) {
      context.interrupts.signal.throwIfAborted();
      try {
        await templates.remove(name, context.call);
        results.push({ name, removed: true });
        if (!context.common.json) await context.io.stdout.write(`${name}\n`);
      } catch (error) {
        results.push({ name, removed: false, error: errorObject(error, false) });
        if (!context.common.json) context.report(error);
      }
    }
    if (context.common.json) await context.print(results, () => '');
    return results.every((result) => result.removed) ? EXIT.ok : EXIT.failed;
  });
}

function row(template: TemplateStatus): string[] {
  const { name, state, createdAt, hypervisor, cpus, memoryMib, nicSlots, sizeBytes, why, automatic } = template;
  if (state === 'unreadable') return [name, state, '-', '-', '-', '-', '-', '-', why ?? ''];
  return [
    name,
    state,
    age(createdAt, Date.now()),
    hypervisor,
    String(cpus),
    `${memoryMib} MiB`,
    String(nicSlots),
    bytesText(sizeBytes),
    why ?? (automatic ? 'made for template: auto' : '-'),
  ];
}
