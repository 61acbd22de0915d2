import {
  type CallOptions,
  type ContainerLog,
  type ContainerProcess,
  type ContainerSetup,
  type GuestContainer,
  type GuestMount,
  type GuestStats,
  HyperplugError,
} from 'hyperplug';

/** What a session of this agent does not declare, and refuses as long as it lasts. */
export abstract class Undeclared {
  /** @throws AGENT_CLOSED the conversation is over. */
  protected abstract ensureOpen(): void;

  protected async refuse(what: string): Promise<never> {
    this.ensureOpen();
    throw new HyperplugError('NOT_SUPPORTED', `agent lines has no ${what}`);
  }

  newContainer(_setup: ContainerSetup, _options: CallOptions): Promise<void> {
    return this.refuse('containers');
  }

  startContainer(_id: string, _process: ContainerProcess, _options: CallOptions): Promise<void> {
    return this.refuse('containers');
  }

  signalContainer(_id: string, _signal: number, _options: CallOptions): Promise<void> {
    return this.refuse('containers');
  }

  removeContainer(_id: string, _options: CallOptions): Promise<void> {
    return this.refuse('containers');
  }

  listContainers(_options: CallOptions): Promise<readonly GuestContainer[]> {
    return this.refuse('containers');
  }

  readContainerLog(_id: string, _range: { readonly offset: number }, _options: CallOptions): Promise<ContainerLog> {
    return this.refuse('containers');
  }

  /** There are none to end. */
  onContainerExit(): () => void {
    return () => {};
  }

  mountVolume(_mount: GuestMount, _options: CallOptions): Promise<void> {
    return this.refuse('volumes');
  }

  unmountVolume(_path: string, _options: CallOptions): Promise<void> {
    return this.refuse('volumes');
  }

  reseed(_entropy: Uint8Array, _options: CallOptions): Promise<void> {
    return this.refuse('renewal');
  }

  setClock(_epochMs: number, _options: CallOptions): Promise<void> {
    return this.refuse('renewal');
  }

  readStats(_options: CallOptions): Promise<GuestStats> {
    return this.refuse('stats');
  }

  onlineCpuMemory(_options: CallOptions): Promise<void> {
    return this.refuse('onlineCpuMemory');
  }
}
