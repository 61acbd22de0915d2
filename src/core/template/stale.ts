import type { CallOptions } from '../calls.js';
import type { GuestImage } from '../guest-image.js';
import { type MakerServices, templateVmSpec } from './make.js';
import type { StoredTemplate, UnreadableTemplate } from './store.js';
import type { TemplateStatus } from './types.js';

/** Why pods cannot be made from it as things are now; undefined: they can. */
export async function staleness(
  services: Pick<MakerServices, 'driver' | 'agent' | 'kernelArgs'>,
  template: StoredTemplate,
  image: GuestImage,
  call: CallOptions,
): Promise<string | undefined> {
  const { driver, agent } = services;
  const { hypervisor, agent: made, saved, directory } = template;
  if (!driver.capabilities.snapshot) return `hypervisor ${driver.name} cannot go on from a saved VM`;
  if (hypervisor !== driver.name) return `hypervisor ${hypervisor} saved it, and ${driver.name} is used`;
  if (made.plugin !== agent.name) return `it was made for agent ${made.plugin}, and ${agent.name} is used`;
  const place = { id: 'template', runDir: directory, consoleLogPath: '/dev/null', detached: false };
  const key = await driver.templateKey?.(templateVmSpec(services, template, image, place), call);
  if (key === saved.key) return undefined;
  return 'hypervisor, kernel, agent or kernel arguments are others than when it was saved';
}

export function statusOf(template: StoredTemplate, why: string | undefined): TemplateStatus {
  const { name, automatic, memoryMib, cpus, nicSlots, hypervisor, image, sizeBytes, createdAt, directory } = template;
  return {
    name,
    state: why === undefined ? 'fresh' : 'stale',
    why: why ?? null,
    automatic,
    memoryMib,
    cpus,
    nicSlots,
    hypervisor,
    image,
    agent: template.agent.description,
    sizeBytes,
    createdAt,
    directory,
  };
}

export function brokenStatus({ name, directory, why }: UnreadableTemplate): TemplateStatus {
  const unknown = { automatic: false, memoryMib: 0, cpus: 0, nicSlots: 0, hypervisor: '', image: '', agent: '' };
  return { name, state: 'unreadable', why, ...unknown, sizeBytes: 0, createdAt: new Date(0).toISOString(), directory };
}
