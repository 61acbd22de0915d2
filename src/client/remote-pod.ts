import { setTimeout as delay } from 'node:timers/promises';
import type { FileTarget, GuestProcess } from '../core/agent.js';
import type { CallOptions } from '../core/calls.js';
import { hasCode } from '../core/errors.js';
import type { VmExit } from '../core/hypervisor.js';
import type { PortMapping } from '../core/network.js';
import type { NicInput, PortInput } from '../core/pod/interface-spec.js';
import type { PodBackend, PodLife } from '../core/pod/pod-backend.js';
import type { ExecRequest, NicChange, PodNic, PodRoute, PortSelector, RouteInput } from '../core/pod/types.js';
import { unlimited } from './remote-pods.js';
import { startProcess } from './remote-process.js';
import { type Call, LONGEST_MS, part, type Transport } from './transport.js';

const ASK_AGAIN_MS = 500;
const GONE: VmExit = { reason: 'unknown', exitCode: null, signal: null, stderrTail: '' };

export interface HeldByDaemon {
  readonly id: string;
  readonly keep: boolean;
  readonly nics: readonly PodNic[];
  readonly consoleLogPath: string;
}

/** A pod that the daemon holds, for this client and any other. */
export class RemotePodBackend implements PodBackend {
  readonly id: string;
  readonly keep: boolean;
  readonly consoleLogPath: string;
  readonly exited: Promise<VmExit>;
  #nics: readonly PodNic[];
  readonly #released = new AbortController();
  readonly #path: string;

  constructor(
    private readonly transport: Transport,
    readonly life: PodLife,
    { id, keep, nics, consoleLogPath }: HeldByDaemon,
    private readonly removePod: (id: string, call: Call) => Promise<void>,
  ) {
    this.id = id;
    this.keep = keep;
    this.consoleLogPath = consoleLogPath;
    this.#nics = nics;
    this.#path = `/v1/pods/${part(id)}`;
    this.exited = this.#watch();
  }

  get nics(): readonly PodNic[] {
    return this.#nics;
  }

  spawn(request: ExecRequest, call: CallOptions): Promise<GuestProcess> {
    return startProcess(this.transport, this.id, request, call);
  }
  async writeFile(path: string, content: Uint8Array, call: CallOptions, target: FileTarget): Promise<void> {
    const body = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
    const { container, mode, user, group } = target;
    const query = { path, container, mode, user, group };
    await this.transport.json('PUT', `${this.#path}/file`, { ...unlimited(call), query, body });
  }
  readFile(path: string, call: CallOptions, { container }: Pick<FileTarget, 'container'>): Promise<Buffer> {
    return this.transport.bytes('GET', `${this.#path}/file`, { ...unlimited(call), query: { path, container } });
  }

  addNics(specs: readonly NicInput[], call: CallOptions): Promise<readonly PodNic[]> {
    return this.#change('POST', 'nics', call, specs);
  }
  async removeNic(id: string, call: CallOptions): Promise<void> {
    await this.#change('DELETE', `nics/${part(id)}`, call);
  }
  updateNic(id: string, change: NicChange, call: CallOptions): Promise<PodNic> {
    return this.#change('PATCH', `nics/${part(id)}`, call, change);
  }
  readNics(call: CallOptions): Promise<readonly PodNic[]> {
    return this.#change('GET', 'nics', call);
  }
  readRoutes(call: CallOptions): Promise<readonly PodRoute[]> {
    return this.#change('GET', 'routes', call);
  }
  async addRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void> {
    await this.#change('POST', 'routes', call, routes);
  }
  async removeRoutes(routes: readonly RouteInput[], call: CallOptions): Promise<void> {
    await this.#change('POST', 'routes/remove', call, routes);
  }
  publish(ports: readonly PortInput[], call: CallOptions): Promise<readonly PortMapping[]> {
    return this.#change('POST', 'ports', call, ports);
  }
  unpublish(ports: readonly PortSelector[], call: CallOptions): Promise<readonly PortMapping[]> {
    return this.#change('POST', 'ports/remove', call, ports);
  }

  remove(call: CallOptions): Promise<void> {
    return this.removePod(this.id, unlimited(call));
  }
  /** The daemon goes on holding it. */
  async release(): Promise<void> {
    this.#released.abort();
  }

  async #change<T>(method: string, what: string, call: CallOptions, body?: unknown): Promise<T> {
    const { result, nics } = await this.transport.json<{ result: T; nics: readonly PodNic[] }>(
      method,
      `${this.#path}/${what}`,
      { ...unlimited(call), ...(body !== undefined && { body }) },
    );
    this.#nics = nics;
    return result;
  }

  /** A daemon that ends and comes back does not end the VM: it is asked again. */
  async #watch(): Promise<VmExit> {
    const { signal } = this.#released;
    for (;;) {
      try {
        return await this.transport.json<VmExit>('GET', `${this.#path}/exit`, {
          signal,
          timeoutMs: LONGEST_MS,
          own: true,
        });
      } catch (error) {
        // Who has let go of it does not ask any more.
        if (signal.aborted || hasCode(error, 'ABORTED') || error instanceof TypeError) return new Promise(() => {});
        if (hasCode(error, 'POD_NOT_FOUND', 'POD_NOT_RUNNING', 'VM_ADOPT_FAILED')) return GONE;
      }
      await delay(ASK_AGAIN_MS, undefined, { ref: false });
    }
  }
}
