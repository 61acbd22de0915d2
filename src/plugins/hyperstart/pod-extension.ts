import type { CallOptions } from '../../core/calls.js';
import type {
  ContainerExit,
  ContainerLayer,
  ContainerLog,
  ContainerProcess,
  ContainerSetup,
  GuestContainer,
  GuestFileSystem,
  GuestMount,
  GuestStats,
} from '../../core/container.js';
import { fieldError, HyperplugError, hasCode } from '../../core/errors.js';
import type { Dialect } from './dialect.js';
import type { Parse } from './network-extension.js';
import type { PodCommands } from './pod-commands.js';
import { processBody } from './process-body.js';
import { COMMAND, LIMIT } from './protocol.gen.js';
import { parseContainers, parseProcessEvent, parseStats } from './schemas.js';

const LOG_HEADER_BYTES = 16;

/** Of the process that startContainer() starts: `main` in every container. */
const MAIN_PROCESS = 'main';

export class ExtensionPod implements PodCommands {
  readonly #exitListeners = new Set<(exit: ContainerExit) => void>();

  constructor(
    readonly dialect: Dialect,
    /** Wraps parsing, so that a malformed answer ends the session. */
    readonly parse: Parse,
  ) {}

  async newContainer(setup: ContainerSetup, options: CallOptions): Promise<void> {
    const { id, root, layer, mounts, hostname, sysctls, podEtc } = setup;
    const body = {
      id,
      root: wireFileSystem(root),
      layer: wireLayer(layer),
      mounts: mounts.map(wireMount),
      ...(hostname === undefined ? {} : { hostname }),
      ...(sysctls === undefined ? {} : { sysctl: sysctls }),
      ...(podEtc === undefined ? {} : { podEtc }),
    };
    await this.#json(COMMAND.NEWCONTAINER, `newContainer ${id}`, body, options, (made) => {
      // Its caller has gone, so nobody would remove it.
      if (made) this.removeContainer(id, { signal: AbortSignal.timeout(10_000) }).catch(() => {});
    });
  }

  async startContainer(id: string, process: ContainerProcess, options: CallOptions): Promise<void> {
    const log = { id: MAIN_PROCESS, stdio: 0, stderr: 0, main: true, log: true };
    const body = { container: id, process: { ...processBody(process, false), ...log } };
    await this.#json(COMMAND.EXECCMD, `start of container ${id}`, body, options);
  }

  async signalContainer(id: string, signal: number, options: CallOptions): Promise<void> {
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw new TypeError(`signal: expected a signal's number, 1 to 64, got ${signal}`);
    }
    await this.#json(COMMAND.KILLCONTAINER, `signal to container ${id}`, { container: id, signal }, options);
  }

  async removeContainer(id: string, options: CallOptions): Promise<void> {
    try {
      await this.#json(COMMAND.REMOVECONTAINER, `removal of container ${id}`, { container: id }, options);
    } catch (error) {
      if (!hasCode(error, 'AGENT_REFUSED') || (error as HyperplugError).details.agentCode !== 'NOT_FOUND') throw error;
    }
  }

  async listContainers(options: CallOptions): Promise<readonly GuestContainer[]> {
    const what = 'listContainers';
    const answer = await this.dialect.call({ code: COMMAND.LISTCONTAINERS, what, payload: [] }, options);
    const { containers } = this.parse(() => parseContainers(answer, what));
    return containers.map(({ id, state, pid, status, signal }) => ({
      id,
      state,
      pid,
      ...(status === undefined ? {} : { exitCode: status }),
      ...(signal === undefined ? {} : { signal }),
    }));
  }

  async readContainerLog(
    id: string,
    { offset, maxBytes }: { readonly offset: number; readonly maxBytes?: number },
    options: CallOptions,
  ): Promise<ContainerLog> {
    const what = `log of container ${id}`;
    const body = { container: id, offset, ...(maxBytes === undefined ? {} : { max: maxBytes }) };
    const answer = await this.#json(COMMAND.READLOG, what, body, options);
    return this.parse(() => {
      if (answer.length < LOG_HEADER_BYTES) throw malformed(what, `${answer.length} bytes`);
      const [from, end] = [answer.readBigUInt64BE(0), answer.readBigUInt64BE(8)].map(Number) as [number, number];
      const content = answer.subarray(LOG_HEADER_BYTES);
      if (!Number.isSafeInteger(end) || from + content.length > end) throw malformed(what, `${from} to ${end}`);
      return { offset: from, content, end };
    });
  }

  onContainerExit(listener: (exit: ContainerExit) => void): () => void {
    const own = (exit: ContainerExit) => listener(exit);
    this.#exitListeners.add(own);
    return () => void this.#exitListeners.delete(own);
  }

  /** PROCESSASYNCEVENT. @throws AGENT_PROTOCOL. */
  event(payload: Buffer): void {
    const { container, event, status, signal, main } = parseProcessEvent(payload, 'PROCESSASYNCEVENT');
    if (event !== 'finished' || main !== true) return;
    const exit: ContainerExit = { container, exitCode: status, ...(signal === undefined ? {} : { signal }) };
    for (const listener of [...this.#exitListeners]) listener(exit);
  }

  async mountVolume(mount: GuestMount, options: CallOptions): Promise<void> {
    await this.#json(COMMAND.MOUNT, `mountVolume ${mount.path}`, wireMount(mount), options);
  }

  async unmountVolume(path: string, options: CallOptions): Promise<void> {
    await this.#json(COMMAND.UNMOUNT, `unmountVolume ${path}`, { path }, options);
  }

  async reseed(entropy: Uint8Array, options: CallOptions): Promise<void> {
    const { ENTROPY_MIN_BYTES: min, ENTROPY_MAX_BYTES: max } = LIMIT;
    if (entropy.length < min || entropy.length > max) {
      throw fieldError('AGENT_REFUSED', 'entropy', `${min} to ${max} bytes`, entropy.length);
    }
    await this.dialect.call({ code: COMMAND.RESEED, what: 'reseed', payload: [entropy] }, options);
  }

  async setClock(epochMs: number, options: CallOptions): Promise<void> {
    if (!Number.isFinite(epochMs) || epochMs < 0) {
      throw new TypeError(`epochMs: expected milliseconds since 1970, got ${epochMs}`);
    }
    await this.#json(COMMAND.SETCLOCK, 'setClock', { epochMs: Math.round(epochMs) }, options);
  }

  async readStats(options: CallOptions): Promise<GuestStats> {
    const what = 'readStats';
    const answer = await this.dialect.call({ code: COMMAND.STATS, what, payload: [] }, options);
    return this.parse(() => parseStats(answer, what));
  }

  #json(code: number, what: string, body: object, options: CallOptions, onLate?: (carriedOut: boolean) => void) {
    const payload = [Buffer.from(JSON.stringify(body))];
    return this.dialect.call({ code, what, payload, ...(onLate ? { onLate } : {}) }, options);
  }
}

function malformed(what: string, why: string): HyperplugError {
  return new HyperplugError('AGENT_PROTOCOL', `${what}: what the agent sent is not as its protocol says: ${why}`);
}

const size = (sizeMib: number | undefined) => (sizeMib === undefined ? {} : { sizeMib });

function wireFileSystem(source: GuestFileSystem) {
  switch (source.kind) {
    case 'disk':
      return { kind: source.kind, disk: source.id, fstype: source.fsType };
    case 'share':
      return { kind: source.kind, tag: source.tag };
    case 'directory':
      return { kind: source.kind, path: source.path };
    case 'tmpfs':
      return { kind: source.kind, ...size(source.sizeMib) };
  }
}

function wireLayer(layer: ContainerLayer) {
  if (layer.kind === 'disk') return { kind: layer.kind, disk: layer.id, fstype: layer.fsType };
  return { kind: layer.kind, ...(layer.kind === 'tmpfs' ? size(layer.sizeMib) : {}) };
}

const wireMount = ({ source, path, readOnly }: GuestMount) => ({ source: wireFileSystem(source), path, readOnly });
