import type { FileTarget, GuestProcess } from '../agent.js';
import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { VmExit } from '../hypervisor.js';
import type { PortMapping } from '../network.js';
import type { Vm } from '../vm/vm.js';
import type { ExecRequest } from './exec/types.js';
import type { NicInput, PortInput } from './interface-spec.js';
import type { NicTable } from './nic-table.js';
import type { NicChange, PodNic, PodRoute, PortSelector, RouteInput } from './nic-types.js';
import type { PodBackend, PodLife } from './pod-backend.js';
import { BASE_ENV, PodHandle } from './pod-handle.js';
import type { PodNetwork } from './pod-network.js';
import { readNics } from './read-nics.js';
import type { ContainerRecord, PodRecord } from './record.js';
import { wrong } from './spec-errors.js';
import { MAIN_CONTAINER } from './spec-parts/contents.js';

export interface HeldPodParts {
  readonly id: string;
  readonly vm: Vm;
  readonly network: PodNetwork;
  readonly table: NicTable;
  readonly consoleLogPath: string;
  readonly keep: boolean;
  readonly life?: PodLife;
  /** Ends the VM and undoes all; called once. */
  remove(options: CallOptions): Promise<void>;
  /** Ends this handle; with the last one of this process the conversation ends, and the lock is given back. Called once. */
  letGo(): Promise<void>;
}

/** A pod that this very process holds. */
export class HeldPod extends PodHandle {
  constructor(parts: HeldPodParts) {
    super(new HeldPodBackend(parts));
    this.settle = (call) => parts.network.settle(call);
  }

  /** What another manager left half done of its NICs is brought to an end. */
  readonly settle: (call: CallOptions) => Promise<void>;
}

/** What the caller says goes before the pod's, and that before what every command has. */
function commandEnv(
  given: Readonly<Record<string, string>>,
  pod: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const usual: Readonly<Record<string, string>> = BASE_ENV;
  const asked = Object.entries(given).filter(([name, value]) => !(name in pod) || usual[name] !== value);
  return { ...given, ...pod, ...Object.fromEntries(asked) };
}

const podEnv = ({ spec }: PodRecord) => (spec as { env?: Readonly<Record<string, string>> } | null)?.env ?? {};

/** For a holder that cannot be asked by id. */
const noLife = new Proxy({} as PodLife, {
  get: (_, name) => () => {
    throw new HyperplugError('NOT_SUPPORTED', `${String(name)}: who holds this pod cannot`);
  },
});

class HeldPodBackend implements PodBackend {
  readonly id: string;
  readonly keep: boolean;
  readonly consoleLogPath: string;
  readonly life: PodLife;

  constructor(private readonly parts: HeldPodParts) {
    this.id = parts.id;
    this.keep = parts.keep;
    this.consoleLogPath = parts.consoleLogPath;
    this.life = parts.life ?? noLife;
  }

  get consoleStart(): number {
    return this.parts.vm.console.start;
  }
  get exited(): Promise<VmExit> {
    return this.parts.vm.hypervisor.exited;
  }
  get nics(): readonly PodNic[] {
    return this.parts.network.nics;
  }

  spawn(request: ExecRequest, call: CallOptions): Promise<GuestProcess> {
    const { argv, workingDirectory, user, terminal = false, size } = request;
    const container = this.#container(request.container);
    const process = container?.process;
    const given =
      process?.user !== undefined ? { user: process.user, ...(process.group && { group: process.group }) } : {};
    const spec = {
      argv,
      env: commandEnv(request.env ?? {}, container?.env ?? podEnv(this.parts.table.record)),
      workingDirectory: workingDirectory ?? process?.workingDirectory ?? '/',
      terminal,
      ...(user !== undefined ? { user } : given),
      ...(size && { size }),
      ...(container && { container: container.id }),
    };
    return this.parts.vm.session.exec(spec, call);
  }
  writeFile(path: string, content: Uint8Array, call: CallOptions, target: FileTarget): Promise<void> {
    return this.parts.vm.session.writeFile(path, content, call, { ...target, ...this.#root(target.container) });
  }
  readFile(path: string, call: CallOptions, target: Pick<FileTarget, 'container'>): Promise<Buffer> {
    return this.parts.vm.session.readFile(path, call, { ...target, ...this.#root(target.container) });
  }

  #root(container: string | undefined): Pick<FileTarget, 'container'> {
    const found = this.#container(container);
    return found ? { container: found.id } : {};
  }

  /** By id or name; undefined: the pod's own root, which is a container where it has one. @throws POD_SPEC_INVALID */
  #container(wanted: string | undefined): ContainerRecord | undefined {
    const { containers } = this.parts.table.record;
    if (wanted === undefined) return containers.find(({ id }) => id === MAIN_CONTAINER);
    const found = containers.find(({ id, name }) => id === wanted || name === wanted);
    if (found) return found;
    throw wrong(
      'container',
      `one of ${containers.map(({ name }) => name).join(', ') || 'none: the pod has no containers'}`,
      wanted,
    );
  }

  addNics(specs: readonly NicInput[], call: CallOptions): Promise<readonly PodNic[]> {
    return this.parts.network.addNics(specs, call);
  }
  removeNic(id: string, call: CallOptions): Promise<void> {
    return this.parts.network.removeNic(id, call);
  }
  updateNic(id: string, change: NicChange, call: CallOptions): Promise<PodNic> {
    return this.parts.network.updateNic(id, change, call);
  }
  readNics(call: CallOptions): Promise<readonly PodNic[]> {
    return readNics(this.parts.vm.session, this.nics, call);
  }

  readRoutes(call: CallOptions): Promise<readonly PodRoute[]> {
    return this.parts.network.routes(call);
  }
  addRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void> {
    return this.parts.network.addRoutes(routes, call);
  }
  removeRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void> {
    return this.parts.network.removeRoutes(routes, call);
  }

  publish(ports: readonly PortInput[], call: CallOptions): Promise<readonly PortMapping[]> {
    return this.parts.network.publish(ports, call);
  }
  unpublish(ports: readonly PortSelector[], call: CallOptions): Promise<readonly PortMapping[]> {
    return this.parts.network.unpublish(ports, call);
  }

  remove(call: CallOptions): Promise<void> {
    return this.parts.remove(call);
  }
  async release(): Promise<void> {
    await this.parts.letGo();
  }
}
