import type {
  ExecSpec,
  FileTarget,
  GuestNetwork,
  GuestNic,
  GuestNicConfig,
  GuestProcess,
  GuestRoute,
  GuestSession,
  PodSetup,
  SessionFeatures,
} from '../../core/agent.js';
import { type CallOptions, throwIfAborted } from '../../core/calls.js';
import type {
  ContainerExit,
  ContainerLog,
  ContainerProcess,
  ContainerSetup,
  GuestContainer,
  GuestMount,
  GuestStats,
} from '../../core/container.js';
import { fieldError, HyperplugError, hasCode } from '../../core/errors.js';
import type { Dialect } from './dialect.js';
import { refused } from './dialect.js';
import type { Link } from './link.js';
import type { NetworkCommands } from './network-commands.js';
import type { PodCommands } from './pod-commands.js';
import { CONTAINER, HyperstartProcess } from './process.js';
import { processBody } from './process-body.js';
import type { ProcessTable } from './process-table.js';
import { COMMAND, LIMIT } from './protocol.gen.js';

const SIGKILL = 9;
/** How long killing a process whose starter has gone may take. */
const REAP_MS = 10_000;

export interface SessionParts {
  readonly link: Link;
  readonly dialect: Dialect;
  readonly processes: ProcessTable;
  readonly network: NetworkCommands;
  readonly pod: PodCommands;
  readonly features: SessionFeatures;
  readonly description: string;
  /** The peer is an original: it takes no keys that it does not know. */
  readonly original: boolean;
}

/** See src/core/agent.ts; what differs between an original agent and ours is in the parts. */
export class HyperstartSession implements GuestSession {
  readonly features: SessionFeatures;
  readonly description: string;
  readonly closed: Promise<Error>;

  constructor(readonly parts: SessionParts) {
    this.features = Object.freeze(parts.features);
    this.description = parts.description;
    this.closed = parts.link.closed;
  }

  async startPod(setup: PodSetup, options: CallOptions): Promise<void> {
    const { hostname, dns, dnsOptions, dnsSearch, machineId } = setup;
    const renewed = this.parts.original || machineId === undefined ? {} : { machineId };
    const body = { hostname, dns, dnsOptions, dnsSearch, ...renewed };
    await this.#json(COMMAND.STARTPOD, 'startPod', body, options);
  }

  async destroyPod(options: CallOptions): Promise<void> {
    await this.parts.dialect.call({ code: COMMAND.DESTROYPOD, what: 'destroyPod', payload: [] }, options);
  }

  async ping(options: CallOptions): Promise<void> {
    await this.parts.dialect.call({ code: COMMAND.PING, what: 'ping', payload: [] }, options);
  }

  async onlineCpuMemory(options: CallOptions): Promise<void> {
    await this.parts.dialect.call({ code: COMMAND.ONLINECPUMEM, what: 'onlineCpuMemory', payload: [] }, options);
  }

  setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    return this.parts.network.setupInterface(config, options);
  }

  deleteInterface(nic: { readonly mac: string; readonly expectedName: string }, options: CallOptions): Promise<void> {
    return this.parts.network.deleteInterface(nic, options);
  }

  addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    return this.parts.network.addRoutes(routes, options);
  }

  removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    return this.parts.network.removeRoutes(routes, options);
  }

  readNetwork(options: CallOptions): Promise<GuestNetwork> {
    return this.parts.network.readNetwork(options);
  }

  async exec(spec: ExecSpec, options: CallOptions): Promise<GuestProcess> {
    const { processes, link } = this.parts;
    const what = `exec ${spec.argv[0]}`;
    if (link.error) throw link.error;
    throwIfAborted(options.signal, what);
    const container = this.#container(what, spec.container);
    const entry = processes.open(spec.terminal);
    const process = new HyperstartProcess(entry, container, (code, what, body, call) =>
      this.#json(code, what, body, call),
    );
    const body = {
      container,
      process: {
        ...processBody(spec, this.parts.original),
        id: entry.id,
        stdio: entry.stdioSequence,
        stderr: entry.stderrSequence,
        ...(spec.main === true ? { main: true } : {}),
      },
    };
    const onLate = (runs: boolean) => {
      if (!runs) return processes.discard(entry);
      // Where it cannot be killed the end of its input must do.
      entry.stdin.destroy();
      process.kill(SIGKILL, { signal: AbortSignal.timeout(REAP_MS) }).catch(() => {});
    };
    try {
      await this.parts.dialect.call({ code: COMMAND.EXECCMD, what, payload: [json(body)], onLate }, options);
      return process;
    } catch (error) {
      // After an abort its answer may still come: until then it stays known, and nobody reads it.
      if (hasCode(error, 'AGENT_REFUSED', 'AGENT_EXEC_FAILED', 'AGENT_CLOSED')) processes.discard(entry);
      else processes.mute(entry);
      throw error;
    }
  }

  async writeFile(path: string, content: Uint8Array, options: CallOptions, target: FileTarget = {}): Promise<void> {
    const what = `writeFile ${path}`;
    if (content.length > LIMIT.FILE_MAX_BYTES) {
      throw refused(what, `content: expected at most ${LIMIT.FILE_MAX_BYTES} bytes, got ${content.length}`);
    }
    const { container, ...owner } = target;
    if (this.parts.original && Object.keys(owner).length > 0) throw notOriginal(`${what}: mode and owner`);
    const payload = [fileJson(path, this.#container(what, container), owner), content];
    await this.parts.dialect.call({ code: COMMAND.WRITEFILE, what, payload }, options);
  }

  async readFile(path: string, options: CallOptions, target: Pick<FileTarget, 'container'> = {}): Promise<Buffer> {
    const what = `readFile ${path}`;
    const payload = [fileJson(path, this.#container(what, target.container), {})];
    return this.parts.dialect.call({ code: COMMAND.READFILE, what, payload }, options);
  }

  #container(what: string, id: string | undefined): string {
    if (id === undefined) return CONTAINER;
    if (!this.features.containers) throw notOriginal(`${what}: container`);
    return id;
  }

  newContainer(setup: ContainerSetup, options: CallOptions): Promise<void> {
    return this.parts.pod.newContainer(setup, options);
  }

  startContainer(id: string, process: ContainerProcess, options: CallOptions): Promise<void> {
    return this.parts.pod.startContainer(id, process, options);
  }

  signalContainer(id: string, signal: number, options: CallOptions): Promise<void> {
    return this.parts.pod.signalContainer(id, signal, options);
  }

  removeContainer(id: string, options: CallOptions): Promise<void> {
    return this.parts.pod.removeContainer(id, options);
  }

  listContainers(options: CallOptions): Promise<readonly GuestContainer[]> {
    return this.parts.pod.listContainers(options);
  }

  readContainerLog(
    id: string,
    range: { readonly offset: number; readonly maxBytes?: number },
    options: CallOptions,
  ): Promise<ContainerLog> {
    return this.parts.pod.readContainerLog(id, range, options);
  }

  onContainerExit(listener: (exit: ContainerExit) => void): () => void {
    return this.parts.pod.onContainerExit(listener);
  }

  mountVolume(mount: GuestMount, options: CallOptions): Promise<void> {
    return this.parts.pod.mountVolume(mount, options);
  }

  unmountVolume(path: string, options: CallOptions): Promise<void> {
    return this.parts.pod.unmountVolume(path, options);
  }

  reseed(entropy: Uint8Array, options: CallOptions): Promise<void> {
    return this.parts.pod.reseed(entropy, options);
  }

  setClock(epochMs: number, options: CallOptions): Promise<void> {
    return this.parts.pod.setClock(epochMs, options);
  }

  readStats(options: CallOptions): Promise<GuestStats> {
    return this.parts.pod.readStats(options);
  }

  close(): Promise<void> {
    return this.parts.link.close('the session was closed by its owner');
  }

  #json(code: number, what: string, body: object, options: CallOptions): Promise<Buffer> {
    return this.parts.dialect.call({ code, what, payload: [json(body)] }, options);
  }
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function notOriginal(what: string): HyperplugError {
  return new HyperplugError('NOT_SUPPORTED', `${what}: an original hyperstart cannot`);
}

/** The original finds the end of the JSON by its first `}`, so that none may be in the path. */
function fileJson(path: string, container: string, owner: Omit<FileTarget, 'container'>): Buffer {
  if (!path.startsWith('/')) throw fieldError('AGENT_REFUSED', 'path', 'an absolute path', path);
  const body = { container, file: path, ...owner };
  return Buffer.from(`${JSON.stringify(body).slice(0, -1).replaceAll('}', '\\u007d')}}`);
}
