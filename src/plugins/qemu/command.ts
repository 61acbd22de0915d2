import { constants } from 'node:fs';
import type { VmSpec } from '../../core/hypervisor.js';
import type { PluginLogger } from '../../core/plugin.js';
import { type ConfinementTools, confinedArgv, type RunAsUser, usableLauncher } from '../../host/confined-spawn.js';
import type { Tool } from '../../host/tools.js';
import { PRIVILEGED_PORTS } from '../../host/vmm/forwards.js';
import { qemuArgs } from './argv.js';
import type { Acceleration } from './kvm/device.js';
import { machinePlan, type PlanRequest } from './machine-plan.js';
import type { QemuOptions } from './options.js';
import type { QemuRunDir } from './qemu-run-dir.js';
import type { CloneMemory } from './template/memory.js';
import type { ShareTools } from './virtiofsd.js';

export interface LaunchTools extends ConfinementTools {
  readonly qemu: Tool;
}

/** What of a template its source or a clone is started with. */
export interface TemplateParts {
  readonly key: string;
  memory(user: RunAsUser | undefined): CloneMemory | undefined;
  fds(memory: CloneMemory | undefined): { readonly fds: readonly number[]; readonly own: readonly number[] };
}

export interface BeginRequest {
  readonly spec: VmSpec;
  readonly options: QemuOptions;
  readonly tools: LaunchTools;
  readonly shareTools: () => Promise<ShareTools>;
  readonly acceleration: Acceleration;
  readonly template: TemplateParts | undefined;
  /** The guest runs at once; else it waits for `cont`. */
  readonly runs: boolean;
  readonly log: PluginLogger;
  readonly signal: AbortSignal;
}

/** Of the directory that is its first descriptor. */
export const SOCKETS_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * mallopt(3), "GLIBC_TUNABLES": QEMU makes and drops some ten MiB as it starts. In huge pages and few steps that takes a
 * fraction of the page faults. Other C libraries know nothing of it.
 */
const ALLOCATION = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1:glibc.malloc.top_pad=16777216' };

/** What runs it, with the descriptors of machine-plan.ts. @param maxFileBytes of what it writes to. */
export function commandOf(
  request: PlanRequest & Pick<BeginRequest, 'tools' | 'runs'>,
  runDir: QemuRunDir,
  user: RunAsUser | undefined,
  maxFileBytes: number,
): string[] {
  const { spec, tools } = request;
  const plan = { ...machinePlan(request, runDir), runs: request.runs };
  const confining = { ...tools, launcher: usableLauncher(spec.launcherPath) };
  return confinedArgv(confining, [tools.qemu.path, ...qemuArgs(plan)], {
    dieWithParent: !spec.detached,
    root: process.getuid?.() === 0,
    user,
    keepCapabilities: hasPrivilegedPort(spec) ? ['net_bind_service'] : [],
    maxFileBytes,
    env: { ...ALLOCATION, ...tools.qemu.env },
  });
}

function hasPrivilegedPort(spec: VmSpec): boolean {
  return spec.nics.some(
    ({ endpoint }) =>
      endpoint.kind === 'builtin' && endpoint.forwards.some(({ hostPort }) => hostPort < PRIVILEGED_PORTS),
  );
}
