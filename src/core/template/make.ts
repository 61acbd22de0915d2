import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CallOptions } from '../calls.js';
import { combineErrors, HyperplugError } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { SavedTemplate, TemplateUse, VmSpec } from '../hypervisor.js';
import { deepFreeze } from '../json.js';
import { lockPod } from '../pod/lock.js';
import { type PodServices, podDirectories } from '../pod/services.js';
import { silentProgress } from '../progress.js';
import { UndoStack } from '../undo.js';
import { Vm } from '../vm/vm.js';
import type { TemplateManifest, TemplateShape } from './manifest.js';
import { renewGuest } from './renew.js';

/** What making one takes. */
export type MakerServices = Pick<
  PodServices,
  'driver' | 'agent' | 'host' | 'directories' | 'kernelArgs' | 'progress' | 'bootTimeoutMs'
>;

export interface TemplatePlan {
  readonly name: string;
  readonly automatic: boolean;
  readonly shape: TemplateShape;
  readonly image: GuestImage;
}

/** What every VM of a template is launched with; NICs come later. */
export function templateVmSpec(
  { agent, kernelArgs }: Pick<MakerServices, 'agent' | 'kernelArgs'>,
  { memoryMib, cpus, nicSlots }: TemplateShape,
  image: GuestImage,
  place: Pick<VmSpec, 'id' | 'runDir' | 'consoleLogPath' | 'detached'>,
  template?: TemplateUse,
): VmSpec {
  return deepFreeze({
    ...place,
    cpus,
    memoryMib,
    kernelPath: image.kernelPath,
    initramfsPath: image.initramfsPath,
    ...(image.bareInitramfsPath !== undefined && { bareInitramfsPath: image.bareInitramfsPath }),
    ...(image.launcherPath !== undefined && { launcherPath: image.launcherPath }),
    kernelArgs: [...image.kernelArgs, ...kernelArgs],
    channels: agent.capabilities.channels,
    nics: [],
    hotplugNicSlots: nicSlots,
    disks: [],
    shares: [],
    ...(template && { template }),
  });
}

/** Fills `directory`: boots, saves, and sees that a clone answers. Nothing else is left of it, whatever comes. */
export async function bootAndSave(
  services: MakerServices,
  plan: TemplatePlan,
  directory: string,
  call: CallOptions,
): Promise<TemplateManifest> {
  const { name, automatic, shape, image } = plan;
  const task = (services.progress ?? silentProgress).begin(`template ${name}`);
  try {
    task.update(0, STEPS, 'steps');
    let description = '';
    const saved = await inVm(services, plan, { role: 'source', directory }, call, async (vm) => {
      if (!vm.session.features.renewal) {
        throw new HyperplugError(
          'NOT_SUPPORTED',
          `template ${name}: the agent in the guest (${vm.session.description}) cannot make a clone a machine of its own`,
        );
      }
      task.update(1, STEPS, 'steps');
      description = vm.session.description;
      return save(vm, call);
    });
    task.update(2, STEPS, 'steps');
    await inVm(services, plan, { role: 'clone', directory, saved, booted: true }, call, (vm) => renewGuest(vm, call));
    task.done(`${shape.memoryMib} MiB, booted, saved and tried`);
    return {
      version: 1,
      name,
      automatic,
      ...shape,
      hypervisor: services.driver.name,
      image: image.description,
      agent: { plugin: services.agent.name, description },
      saved,
      sizeBytes: await sizeOf(directory),
      createdAt: new Date().toISOString(),
    };
  } catch (error) {
    task.fail(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/** Boot, save, try. */
const STEPS = 3;

/**
 * Nothing is under way in the guest: it has answered a ping, what it loads in the background included, and nobody says
 * anything more. What was would be in every clone. Its channels are held until it is saved:
 * a clone's are held when it goes on, and its guest has no change to hear of.
 */
async function save(vm: Vm, call: CallOptions): Promise<SavedTemplate> {
  await vm.session.ping(call);
  const saved = await vm.hypervisor.saveTemplate?.(call);
  await vm.session.close();
  if (saved) return saved;
  throw new TypeError('hypervisor: it declares snapshot, and its VMs have no saveTemplate()');
}

/**
 * A VM that dies with this process, under a lock as pods have: whoever collects garbage leaves it alone while we live, and
 * removes what it left afterwards.
 */
async function inVm<T>(
  services: MakerServices,
  { name, shape, image }: TemplatePlan,
  template: TemplateUse,
  call: CallOptions,
  body: (vm: Vm) => Promise<T>,
): Promise<T> {
  const id = `template-${randomBytes(5).toString('hex')}`;
  const dirs = podDirectories(services.directories, id);
  const undo = new UndoStack();
  let result: T;
  try {
    const lock = await lockPod(services.host, dirs.lock, id, `template ${name}`, call.signal);
    undo.push('lock', () => lock.release({ remove: true }));
    undo.push(dirs.run, () => rm(dirs.run, { recursive: true, force: true }));
    await mkdir(dirs.run, { recursive: true, mode: 0o700 });
    const place = { id, runDir: dirs.run, consoleLogPath: join(dirs.run, 'console.log'), detached: false };
    const spec = templateVmSpec(services, shape, image, place, template);
    const vm = await Vm.launch(services, spec, undo, call, async () => {});
    result = await vm.explained(() => body(vm));
  } catch (error) {
    throw await undo.fail('POD_CLEANUP_FAILED', `template ${name} was not made, nor undone wholly`, error);
  }
  const errors = await undo.unwind();
  if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', `template ${name}`, errors);
  return result;
}

/** What the files take on disk. */
async function sizeOf(directory: string): Promise<number> {
  const files = await Promise.all((await readdir(directory)).map((name) => stat(join(directory, name))));
  return files.reduce((sum, { blocks }) => sum + blocks * 512, 0);
}
