import {
  type CallOptions,
  type ExecSpec,
  type FileTarget,
  type GuestNetwork,
  type GuestNic,
  type GuestNicConfig,
  type GuestProcess,
  type GuestRoute,
  type GuestSession,
  HyperplugError,
  hasCode,
  type JsonValue,
  type PodSetup,
  type SessionFeatures,
} from 'hyperplug';
import type { Conversation } from './conversation.js';
import { GuestNetworking } from './network.js';
import { LinesProcess, OUTPUT_WINDOW_BYTES } from './process.js';
import { refused, run } from './programs.js';
import { Undeclared } from './undeclared.js';

const MAX_FILE_BYTES = 16 << 20;

export const FEATURES: SessionFeatures = Object.freeze({
  nicByMac: true,
  readNetwork: true,
  errorTexts: true,
  streamCredit: true,
  ipv6: true,
  containers: false,
  volumes: false,
  renewal: false,
  stats: false,
});

/** One conversation. The guest's program runs programs; files and the network are made of that. */
export class LinesSession extends Undeclared implements GuestSession {
  readonly features = FEATURES;
  readonly description = 'lines 1';
  readonly closed: Promise<Error>;
  readonly #processes = new Map<number, LinesProcess>();
  readonly #network: GuestNetworking;
  #lastProcess = 0;

  constructor(
    readonly conversation: Conversation,
    nicTimeoutMs: number,
  ) {
    super();
    this.#network = new GuestNetworking((spec, options) => this.exec(spec, options), nicTimeoutMs);
    conversation.onEvent = (event) => {
      const process = this.#processes.get(event.process);
      // Of one that was given up it may still have sent something.
      if (process && !process.take(event)) conversation.end('AGENT_PROTOCOL', `what it may not say: ${event.event}`);
    };
    this.closed = conversation.closed.then((reason) => {
      const error = conversation.over ?? reason;
      for (const process of this.#processes.values()) process.fail(error);
      this.#processes.clear();
      return reason;
    });
  }

  protected ensureOpen(): void {
    if (this.conversation.over) throw this.conversation.over;
  }

  async startPod({ hostname, dns, dnsSearch, dnsOptions }: PodSetup, options: CallOptions): Promise<void> {
    const lines = [
      ...dns.map((server) => `nameserver ${server}`),
      ...(dnsSearch.length > 0 ? [`search ${dnsSearch.join(' ')}`] : []),
      ...(dnsOptions.length > 0 ? [`options ${dnsOptions.join(' ')}`] : []),
    ];
    const fields: Record<string, string> = { hostname };
    if (lines.length > 0) fields.resolver = `${lines.join('\n')}\n`;
    await this.conversation.request('setup', fields, options);
  }

  async destroyPod(options: CallOptions): Promise<void> {
    await this.conversation.request('destroy', {}, options);
  }

  async ping(options: CallOptions): Promise<void> {
    await this.conversation.request('ping', {}, options);
  }

  async exec(spec: ExecSpec, options: CallOptions): Promise<GuestProcess> {
    if (spec.container !== undefined) await this.refuse('containers');
    if (spec.terminal) throw new HyperplugError('NOT_SUPPORTED', 'agent lines does not declare terminal');
    const number = ++this.#lastProcess;
    const process = new LinesProcess(this.conversation, number, () => this.#processes.delete(number));
    // Before the request: its output may come right behind the answer.
    this.#processes.set(number, process);
    const { argv, env, workingDirectory: directory, user, group } = spec;
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const bytes = OUTPUT_WINDOW_BYTES;
    const fields: Record<string, JsonValue> = { process: number, argv, env: variables, directory, bytes };
    if (user !== undefined) fields.user = user;
    if (group !== undefined) fields.group = group;
    try {
      await this.conversation.request('exec', fields, options);
      return process;
    } catch (error) {
      this.#processes.delete(number);
      if (!hasCode(error, 'AGENT_REFUSED')) {
        // It may have been started all the same.
        this.conversation.send({ do: 'kill', process: number, signal: 9 });
        throw error;
      }
      throw new HyperplugError('AGENT_EXEC_FAILED', error.message, { cause: error, details: error.details });
    }
  }

  setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic> {
    return this.#network.setUp(config, options);
  }

  deleteInterface(nic: { readonly mac: string; readonly expectedName: string }, options: CallOptions): Promise<void> {
    return this.#network.remove(nic, options);
  }

  addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    return this.#network.addRoutes(routes, options);
  }

  removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void> {
    return this.#network.removeRoutes(routes, options);
  }

  readNetwork(options: CallOptions): Promise<GuestNetwork> {
    return this.#network.read(options);
  }

  /** Written beside it and moved over it: whoever reads it meanwhile has the one or the other. */
  async writeFile(path: string, content: Uint8Array, options: CallOptions, target?: FileTarget): Promise<void> {
    if (target && Object.keys(target).length > 0) await this.refuse('containers, nor modes and owners of files');
    if (content.length > MAX_FILE_BYTES) throw refused(`${path}: more than ${MAX_FILE_BYTES} bytes`);
    const exec = this.exec.bind(this);
    await run(exec, ['dd', `of=${path}.new`, 'bs=64k'], options, { input: content });
    await run(exec, ['mv', '-f', '--', `${path}.new`, path], options);
  }

  async readFile(path: string, options: CallOptions, target?: FileTarget): Promise<Buffer> {
    if (target?.container !== undefined) await this.refuse('containers');
    return run(this.exec.bind(this), ['cat', '--', path], options, { maxBytes: MAX_FILE_BYTES });
  }

  async close(): Promise<void> {
    this.conversation.end('AGENT_CLOSED', 'the conversation was closed');
    await this.closed;
  }
}
