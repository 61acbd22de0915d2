import type {
  ExecSpec,
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
import { fieldError, hasCode } from '../../core/errors.js';
import type { Dialect } from './dialect.js';
import { refused } from './dialect.js';
import type { Link } from './link.js';
import type { NetworkCommands } from './network-commands.js';
import { CONTAINER, HyperstartProcess } from './process.js';
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
    const { hostname, dns, dnsOptions, dnsSearch } = setup;
    const body = { hostname, dns, dnsOptions, dnsSearch };
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
    const entry = processes.open(spec.terminal);
    const process = new HyperstartProcess(entry, (code, what, body, call) => this.#json(code, what, body, call));
    const { user, group, size } = spec;
    const body = {
      container: CONTAINER,
      process: {
        id: entry.id,
        terminal: spec.terminal,
        stdio: entry.stdioSequence,
        stderr: entry.stderrSequence,
        args: spec.argv,
        envs: Object.entries(spec.env).map(([env, value]) => ({ env, value })),
        workdir: spec.workingDirectory,
        ...(user === undefined ? {} : { user }),
        ...(group === undefined ? {} : { group }),
        ...(size === undefined || this.parts.original ? {} : { row: size.rows, column: size.columns }),
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

  async writeFile(path: string, content: Uint8Array, options: CallOptions): Promise<void> {
    const what = `writeFile ${path}`;
    if (content.length > LIMIT.FILE_MAX_BYTES) {
      throw refused(what, `content: expected at most ${LIMIT.FILE_MAX_BYTES} bytes, got ${content.length}`);
    }
    await this.parts.dialect.call({ code: COMMAND.WRITEFILE, what, payload: [fileJson(path), content] }, options);
  }

  async readFile(path: string, options: CallOptions): Promise<Buffer> {
    return this.parts.dialect.call(
      { code: COMMAND.READFILE, what: `readFile ${path}`, payload: [fileJson(path)] },
      options,
    );
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

/** The original finds the end of the JSON by its first `}`, so that none may be in the path. */
function fileJson(path: string): Buffer {
  if (!path.startsWith('/')) throw fieldError('AGENT_REFUSED', 'path', 'an absolute path', path);
  const file = JSON.stringify(path).replaceAll('}', '\\u007d');
  return Buffer.from(`{"container":${JSON.stringify(CONTAINER)},"file":${file}}`);
}
