import { HyperplugError } from '../../../src/core/errors.js';
import type { TemplateInput, TemplateStatus, Templates } from '../../../src/core/template/types.js';

/** Templates in memory. */
export class FakeTemplates implements Templates {
  readonly asked: (TemplateInput & { readonly replace: boolean })[] = [];
  all: TemplateStatus[] = [];

  async create(template: TemplateInput, { replace = false }: { readonly replace?: boolean } = {}) {
    this.asked.push({ ...template, replace });
    const made = templateStatus(template.name, template);
    this.all.push(made);
    return made;
  }
  async list() {
    return this.all;
  }
  async inspect(name: string) {
    const found = this.all.find((each) => each.name === name);
    if (!found) throw new HyperplugError('TEMPLATE_NOT_FOUND', `no template named ${name}`);
    return found;
  }
  async remove(name: string) {
    const found = await this.inspect(name);
    this.all = this.all.filter((each) => each !== found);
  }
}

export function templateStatus(name: string, changes: Partial<TemplateStatus> = {}): TemplateStatus {
  return {
    name,
    state: 'fresh',
    why: null,
    automatic: false,
    memoryMib: 256,
    cpus: 1,
    nicSlots: 3,
    hypervisor: 'qemu',
    image: 'Linux 6.12',
    agent: 'hyperstart 4244 + hyperplug 1',
    sizeBytes: 40 * 1024 * 1024,
    createdAt: new Date(Date.now() - 90_000).toISOString(),
    directory: `/nonexistent/templates/${name}`,
    ...changes,
  };
}
