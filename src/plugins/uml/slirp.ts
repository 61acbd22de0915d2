import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type CallOptions, raceSignal, throwIfAborted } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { BuiltinEndpoint, PortForward, ProcessIdentity } from '../../core/hypervisor.js';
import type { ConfinedChild } from '../../host/own-child.js';
import { SlirpApi } from '../../host/slirp-api.js';
import { explainForward, PRIVILEGED_PORTS } from '../../host/vmm/forwards.js';
import type { UserNetworks } from './nic-plug.js';
import { checkUserNetwork } from './slirp-network.js';
import {
  type BegunSlirp,
  killFamily,
  type RunningSlirp,
  type SlirpPlace,
  type SlirpPlan,
  type SlirpRecipe,
  type SlirpTools,
  startSlirp,
} from './slirp-process.js';
import { SOCKETS_FD } from './uml-run-dir.js';

export interface SlirpOptions extends SlirpPlace {
  readonly tools: () => Promise<SlirpTools>;
  /** Begun ahead, for the first NIC. */
  readonly begun?: BegunSlirp | undefined;
  /** Told of what one runs with: another may be begun so. */
  readonly started?: (recipe: SlirpRecipe) => void;
}

const LINK_POLL_MS = 20;

interface Network {
  readonly process: ProcessIdentity;
  /** Not of one that was adopted. */
  readonly child: ConfinedChild | undefined;
  readonly api: SlirpApi;
  /** Set up, or on their way: they wait for the guest's link. */
  readonly forwards: Map<string, Promise<void>>;
  readonly gone: AbortController;
}

/**
 * The user-mode network of each NIC that has one: a slirp4netns, to which UML connects when the guest takes the link up
 * (bess transport: a SOCK_SEQPACKET, one frame a packet). Only then it listens on the ports that it forwards.
 */
export class SlirpNetworks implements UserNetworks {
  readonly #networks = new Map<number, Network>();

  #begun: BegunSlirp | undefined;

  constructor(private readonly options: SlirpOptions) {
    this.#begun = options.begun;
  }

  async connect(slot: number, endpoint: BuiltinEndpoint, call: CallOptions) {
    const ipv4 = checkUserNetwork(endpoint);
    await this.#refuseTaken(endpoint.forwards);
    const plan = { slot, cidr: ipv4.subnet, privileged: hasPrivileged(endpoint.forwards) };
    const { process, child, tools } = (await this.#begunAhead(plan, call)) ?? (await this.#start(plan, call));
    this.options.started?.({ plan, tools });
    this.#remember(slot, process, child);
    for (const forward of endpoint.forwards) this.#begin(slot, forward);
    return { transport: `transport=bess,dst=/proc/self/fd/${SOCKETS_FD}/b${slot}`, process };
  }

  /** What was begun for the first NIC, if that is this one; else it ends. */
  async #begunAhead(plan: SlirpPlan, { signal }: CallOptions): Promise<RunningSlirp | undefined> {
    const begun = this.#begun;
    this.#begun = undefined;
    if (!begun) return undefined;
    const running = await raceSignal(begun.running, signal, 'start of slirp4netns').catch(() => undefined);
    throwIfAborted(signal, 'start of slirp4netns');
    if (running && isDeepStrictEqual(begun.plan, plan)) return running;
    if (running) await killFamily(running.process, { signal });
    return undefined;
  }

  async #start(plan: SlirpPlan, call: CallOptions): Promise<RunningSlirp> {
    const tools = await this.options.tools();
    throwIfAborted(call.signal, 'start of slirp4netns');
    await this.#removeSockets(plan.slot);
    return startSlirp(this.options, { tools, plan }, call);
  }

  restore(slot: number, process: ProcessIdentity): void {
    this.#remember(slot, process, undefined);
  }

  async disconnect(slot: number, call: CallOptions): Promise<void> {
    const network = this.#networks.get(slot);
    if (!network) return;
    network.gone.abort(new HyperplugError('VM_NIC_NOT_FOUND', 'the NIC was detached'));
    await killFamily(network.process, call);
    if (network.child) await raceSignal(network.child.exited, call.signal, 'end of slirp4netns');
    await this.#removeSockets(slot);
    this.#networks.delete(slot);
  }

  /** Resolves when slirp4netns listens, which it does once the guest's link is up. @throws NET_PORT_IN_USE, HOST_PERMISSION. */
  async addForward(slot: number, forward: PortForward, { signal }: CallOptions): Promise<void> {
    const { forwards } = this.#find(slot);
    const what = `forward of port ${forward.hostPort}`;
    const held = forwards.get(keyOf(forward));
    if (!held) await this.#refuseTaken([forward]);
    await raceSignal(held ?? this.#begin(slot, forward), signal, what);
  }

  async removeForward(slot: number, forward: PortForward, call: CallOptions): Promise<void> {
    const { api, forwards } = this.#find(slot);
    forwards.delete(keyOf(forward));
    await api.remove(forward, call);
  }

  /** The processes go on. */
  close(): void {
    for (const { gone, child } of this.#networks.values()) {
      gone.abort(new HyperplugError('VM_EXITED', 'the VM is let go'));
      child?.unref();
    }
  }

  #remember(slot: number, process: ProcessIdentity, child: ConfinedChild | undefined): void {
    const api = new SlirpApi(join(this.options.runDir.sockets, `a${slot}`));
    this.#networks.set(slot, { process, child, api, forwards: new Map(), gone: new AbortController() });
  }

  #begin(slot: number, forward: PortForward): Promise<void> {
    const { forwards, gone } = this.#find(slot);
    const key = keyOf(forward);
    const made = this.#establish(slot, forward, { signal: gone.signal });
    forwards.set(key, made);
    made.catch(() => forwards.delete(key));
    return made;
  }

  async #establish(slot: number, forward: PortForward, call: CallOptions): Promise<void> {
    const { api } = this.#find(slot);
    try {
      while (!(await api.add(forward, call))) {
        await delay(LINK_POLL_MS, undefined, { ref: false });
        throwIfAborted(call.signal, 'wait for the link');
      }
    } catch (error) {
      if (!hasCode(error, 'HOST_COMMAND_FAILED')) throw error;
      throw (await this.#obstacle([forward])) ?? error;
    }
  }

  async #refuseTaken(forwards: readonly PortForward[]): Promise<void> {
    const obstacle = await this.#obstacle(forwards);
    if (obstacle) throw obstacle;
  }

  #obstacle(forwards: readonly PortForward[]): Promise<HyperplugError | undefined> {
    return explainForward(forwards, { privileged: process.getuid?.() === 0 });
  }

  #find(slot: number): Network {
    const network = this.#networks.get(slot);
    if (network) return network;
    throw new HyperplugError('NOT_SUPPORTED', "forwards: the NIC has no network of the hypervisor's own");
  }

  async #removeSockets(slot: number): Promise<void> {
    for (const name of [`a${slot}`, `b${slot}`]) await rm(join(this.options.runDir.sockets, name), { force: true });
  }
}

const keyOf = ({ protocol, hostAddress, hostPort }: PortForward) => `${protocol}:${hostAddress}:${hostPort}`;

const hasPrivileged = (forwards: readonly PortForward[]) =>
  forwards.some(({ hostPort }) => hostPort < PRIVILEGED_PORTS);
