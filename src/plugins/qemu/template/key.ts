import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VmSpec } from '../../../core/hypervisor.js';
import { firmwareDirs } from '../../../host/debian/firmware.js';
import type { FileDigests } from '../../../host/file-digests.js';
import { checkReadable } from '../../../host/vmm/run-as.js';
import { qemuArgs } from '../argv.js';
import { machinePlan, type PlanRequest } from '../machine-plan.js';
import { QemuRunDir } from '../qemu-run-dir.js';

/** Changes when what is saved does. */
const FORMAT = 1;

/**
 * The arguments of a source of this specification, whoever it is, and the content of every file that they name: what is the
 * same for both gives the same machine. QEMU's program stands for its version, and so for the one that `q35` or `pc` mean.
 * @throws IMAGE_NOT_FOUND, ABORTED.
 */
export async function templateKey(request: PlanRequest, digests: FileDigests, signal: AbortSignal): Promise<string> {
  const { tools, acceleration } = request;
  const directory = '/';
  const spec: VmSpec = {
    ...request.spec,
    id: 'template',
    runDir: '/',
    detached: false,
    nics: [],
    disks: [],
    shares: [],
    template: { role: 'source', directory },
  };
  const plan = machinePlan({ ...request, spec }, new QemuRunDir(spec.runDir));
  const firmware = plan.firmware ?? 'bios-256k.bin';
  const found = firmwareDirs(tools.qemu)
    .map((folder) => join(folder, firmware))
    .find((path) => existsSync(path));
  const files = [tools.qemu.path, spec.kernelPath, spec.initramfsPath, ...(found === undefined ? [] : [found])];
  checkReadable('kernelPath', spec.kernelPath, undefined);
  checkReadable('initramfsPath', spec.initramfsPath, undefined);
  const contents = await Promise.all(files.map((path) => digests.of(path, signal)));
  const cpu = acceleration.accelerator === 'kvm' ? hostCpu() : '';
  return createHash('sha256')
    .update(JSON.stringify([FORMAT, qemuArgs(plan), contents, cpu]))
    .digest('hex');
}

/** Under KVM the guest has the host's processor, whatever the model is called. */
function hostCpu(): string {
  const lines = readFileSync('/proc/cpuinfo', 'utf8').split('\n');
  const of = (name: string) => lines.find((line) => line.startsWith(name)) ?? '';
  return ['model name', 'stepping', 'microcode', 'flags'].map(of).join('\n');
}
