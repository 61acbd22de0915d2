import type { PodSpec } from '../pod/spec.js';
import { wrong } from '../pod/spec-errors.js';
import { MAIN_CONTAINER } from '../pod/spec-parts/contents.js';
import type { TemplateShape } from './manifest.js';

interface Misfit {
  readonly field: string;
  readonly expected: string;
  readonly received: unknown;
}

/** NIC slots that a pod needs: those of its own NICs, and those it wants free. */
export function slotsNeeded({ interfaces, nicSlots }: Pick<PodSpec, 'interfaces' | 'nicSlots'>): number {
  return interfaces.filter(({ kind }) => kind === 'network').length + nicSlots;
}

/** The first thing a pod asks for that its VM would have to be booted with. */
export function storageMisfit({ containers, volumes }: Pick<PodSpec, 'containers' | 'volumes'>): Misfit | undefined {
  const mains = containers.filter(({ id }) => id === MAIN_CONTAINER).length;
  for (const [index, { id, image, root, layer }] of containers.entries()) {
    const place = id === MAIN_CONTAINER ? '' : `containers[${index - mains}].`;
    if (root) return { field: place === '' ? 'rootfs' : `${place}image`, expected: NO_DISKS, received: image };
    if (layer.kind === 'disk') return { field: `${place}layer`, expected: NO_DISKS, received: layer.kind };
  }
  const index = volumes.findIndex(({ kind }) => kind !== 'tmpfs');
  if (index === -1) return undefined;
  return { field: `volumes[${index}]`, expected: `a tmpfs, or ${NO_DISKS}`, received: volumes[index]?.name };
}

const NO_DISKS = 'nothing that takes a disk or a shared directory: those are there at boot, and a template has booted';

/** The first thing in which a pod is not as its template; undefined: it fits. */
export function misfit(spec: PodSpec, name: string, shape: TemplateShape): Misfit | undefined {
  const { memoryMib, cpus, nicSlots } = shape;
  if (spec.memoryMib !== memoryMib) {
    return {
      field: 'resource.memory',
      expected: `${memoryMib} MiB, as template ${name} has`,
      received: spec.memoryMib,
    };
  }
  if (spec.cpus !== cpus) {
    return { field: 'resource.vcpu', expected: `${cpus}, as template ${name} has`, received: spec.cpus };
  }
  const needed = slotsNeeded(spec);
  if (needed > nicSlots) {
    const [field, received] =
      needed - spec.nicSlots > nicSlots ? (['interfaces', needed] as const) : (['nicSlots', spec.nicSlots] as const);
    return { field, expected: `at most ${nicSlots} NICs and free slots, as template ${name} has`, received };
  }
  return storageMisfit(spec);
}

/** @throws POD_SPEC_INVALID naming field, expectation and value. */
export function mustFit(spec: PodSpec, name: string, shape: TemplateShape): void {
  const found = misfit(spec, name, shape);
  if (found) throw wrong(found.field, found.expected, found.received);
}
