import type { UserCallOptions } from '../calls.js';
import type { PortMapping } from '../network.js';
import type { NicInput, PortInput } from './interface-spec.js';
import type {
  NicChange,
  PodNic,
  PodNics,
  PodPort,
  PodPorts,
  PodRoute,
  PodRoutes,
  PortSelector,
  RouteInput,
} from './nic-types.js';
import type { PodBackend } from './pod-backend.js';
import type { Guarded } from './pod-handle.js';

const listOf = <T>(one: T | readonly T[]): readonly T[] => (Array.isArray(one) ? one : [one as T]);

export class HandleNics implements PodNics {
  constructor(
    private readonly backend: PodBackend,
    private readonly guarded: Guarded,
  ) {}

  list(): readonly PodNic[] {
    return this.backend.nics;
  }
  get(id: string): PodNic | undefined {
    return this.backend.nics.find((nic) => nic.id === id);
  }
  [Symbol.iterator](): Iterator<PodNic> {
    return this.backend.nics[Symbol.iterator]();
  }

  add(specs: readonly NicInput[], options?: UserCallOptions): Promise<readonly PodNic[]>;
  add(spec?: NicInput, options?: UserCallOptions): Promise<PodNic>;
  async add(input: NicInput | readonly NicInput[] = {}, options: UserCallOptions = {}) {
    const nics = await this.guarded('adding NICs', options, (call) => this.backend.addNics(listOf(input), call));
    return Array.isArray(input) ? nics : (nics[0] as PodNic);
  }

  remove(id: string, options: UserCallOptions = {}): Promise<void> {
    return this.guarded(`removing NIC ${id}`, options, (call) => this.backend.removeNic(id, call));
  }
  update(id: string, change: NicChange, options: UserCallOptions = {}): Promise<PodNic> {
    return this.guarded(`changing NIC ${id}`, options, (call) => this.backend.updateNic(id, change, call));
  }
  read(options: UserCallOptions = {}): Promise<readonly PodNic[]> {
    return this.guarded('reading the NICs', options, (call) => this.backend.readNics(call));
  }
}

export class HandlePorts implements PodPorts {
  constructor(
    private readonly backend: PodBackend,
    private readonly guarded: Guarded,
  ) {}

  list(): readonly PodPort[] {
    return this.backend.nics.flatMap(({ id, ports }) => ports.map((port) => ({ ...port, nic: id })));
  }
  add(ports: PortInput | readonly PortInput[], options: UserCallOptions = {}): Promise<readonly PortMapping[]> {
    return this.guarded('publishing ports', options, (call) => this.backend.publish(listOf(ports), call));
  }
  remove(ports: PortSelector | readonly PortSelector[], options: UserCallOptions = {}) {
    return this.guarded('withdrawing ports', options, (call) => this.backend.unpublish(listOf(ports), call));
  }
}

export class HandleRoutes implements PodRoutes {
  constructor(
    private readonly backend: PodBackend,
    private readonly guarded: Guarded,
  ) {}

  list(options: UserCallOptions = {}): Promise<readonly PodRoute[]> {
    return this.guarded('reading routes', options, (call) => this.backend.readRoutes(call));
  }
  add(routes: RouteInput | readonly RouteInput[], options: UserCallOptions = {}): Promise<void> {
    return this.guarded('adding routes', options, (call) => this.backend.addRoutes(listOf(routes), call));
  }
  remove(routes: RouteInput | readonly RouteInput[], options: UserCallOptions = {}): Promise<void> {
    return this.guarded('removing routes', options, (call) => this.backend.removeRoutes(listOf(routes), call));
  }
}
