import { closeSync, existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, raceSignal, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { BuiltinEndpoint, PortForward, ProcessIdentity } from '../../core/hypervisor.js';
import { type ConfinementTools, confinedArgv, spawnConfined } from '../../host/confined-spawn.js';
import type { ConfinedChild } from '../../host/own-child.js';
import { childrenOf, identifyProcess, killProcess, sameProcess } from '../../host/process.js';
import { SlirpApi } from '../../host/slirp-api.js';
import type { Tool } from '../../host/tools.js';
import { holdDirectory } from '../../host/unix-datagram.js';
import { explainForward, PRIVILEGED_PORTS } from '../../host/vmm/forwards.js';
import type { UserNetworks } from './nic-plug.js';
import { checkUserNetwork } from './slirp-network.js';
import { SOCKETS_FD, type UmlRunDir } from './uml-run-dir.js';

export interface SlirpTools extends ConfinementTools {
  readonly slirp: Tool;
  readonly nsenter: string;
}

export interface SlirpOptions {
  readonly runDir: UmlRunDir;
  /** The first process of the VM's PID namespace, in which slirp4netns runs, too: it ends with the VM. */
  readonly init: ProcessIdentity;
  /** Who it runs as; null: our user. */
  readonly user: { readonly uid: number; readonly gid: number } | null;
  readonly tools: () => Promise<SlirpTools>;
}

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
const LINK_POLL_MS = 20;
const MAX_FILE_BYTES = 1 << 20;

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

  constructor(private readonly options: SlirpOptions) {}

  async connect(slot: number, endpoint: BuiltinEndpoint, call: CallOptions) {
    const ipv4 = checkUserNetwork(endpoint);
    await this.#refuseTaken(endpoint.forwards);
    const { runDir } = this.options;
    const tools = await this.options.tools();
    throwIfAborted(call.signal, 'start of slirp4netns');
    await this.#removeSockets(slot);
    const child = await this.#spawn(tools, slot, ipv4.subnet, endpoint.forwards);
    let process: ProcessIdentity | undefined;
    try {
      await this.#untilListening(child, join(runDir.sockets, `b${slot}`), call);
      const [pid] = childrenOf(child.identity.pid);
      process = pid === undefined ? undefined : identifyProcess(pid);
      if (!process) throw await ended(child);
    } catch (error) {
      const undo = { signal: AbortSignal.timeout(START_TIMEOUT_MS) };
      await killFamily(child.identity, undo);
      throw error;
    }
    this.#remember(slot, process, child);
    for (const forward of endpoint.forwards) this.#begin(slot, forward);
    return { transport: `transport=bess,dst=/proc/self/fd/${SOCKETS_FD}/b${slot}`, process };
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

  async #spawn(
    tools: SlirpTools,
    slot: number,
    cidr: string,
    forwards: readonly PortForward[],
  ): Promise<ConfinedChild> {
    const { runDir, init, user } = this.options;
    const root = process.getuid?.() === 0;
    const socket = (name: string) => `/proc/self/fd/${SOCKETS_FD}/${name}${slot}`;
    const privileged = forwards.some(({ hostPort }) => hostPort < PRIVILEGED_PORTS);
    const slirp = [
      ...[tools.slirp.path, '--target-type=bess', `--cidr=${cidr}`, `--api-socket=${socket('a')}`, socket('b')],
    ];
    const confined = confinedArgv(tools, slirp, {
      dieWithParent: false,
      root: true,
      user: root && user ? { ...user, groups: [] } : undefined,
      keepCapabilities: root && privileged ? ['net_bind_service'] : [],
      maxFileBytes: MAX_FILE_BYTES,
      env: tools.slirp.env,
    });
    // Root needs no power over the user namespace, and would lose that over privileged ports in it.
    const spaces = root ? ['--pid'] : ['--user', '--pid', '--preserve-credentials'];
    const directory = holdDirectory(runDir.sockets);
    try {
      return await spawnConfined([tools.nsenter, `--target=${init.pid}`, ...spaces, '--', ...confined], {
        stderrFd: undefined,
        fds: [directory],
      });
    } finally {
      closeSync(directory);
    }
  }

  async #untilListening(child: ConfinedChild, path: string, { signal }: CallOptions): Promise<void> {
    let over = false;
    const early = child.exited.then(async () => {
      over = true;
    });
    void early;
    await withDeadline('start of slirp4netns', START_TIMEOUT_MS, signal, async (call) => {
      while (!existsSync(path)) {
        if (over) throw await ended(child);
        await delay(POLL_MS);
        throwIfAborted(call.signal, 'start of slirp4netns');
      }
    });
  }
}

const keyOf = ({ protocol, hostAddress, hostPort }: PortForward) => `${protocol}:${hostAddress}:${hostPort}`;

/** slirp4netns is two processes, of which the second does not end with the first. */
async function killFamily(process: ProcessIdentity, call: CallOptions): Promise<void> {
  const family: ProcessIdentity[] = [];
  const collect = (each: ProcessIdentity) => {
    family.push(each);
    for (const pid of childrenOf(each.pid)) {
      const child = identifyProcess(pid);
      if (child) collect(child);
    }
  };
  if (sameProcess(process)) collect(process);
  // From the last to the first, which then reaps it.
  for (const each of family.reverse()) await killProcess(each, call);
}

async function ended(child: ConfinedChild): Promise<HyperplugError> {
  const { exitCode } = await child.exited;
  const stderrTail = child.stderrTail().trim();
  return new HyperplugError('VM_HYPERVISOR_FAILED', `slirp4netns ended early (exit code ${exitCode}): ${stderrTail}`, {
    details: { exitCode, stderrTail },
  });
}
