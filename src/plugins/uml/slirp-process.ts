import { closeSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CallOptions, throwIfAborted, withDeadline } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';
import type { ProcessIdentity } from '../../core/hypervisor.js';
import { type ConfinementTools, confinedArgv, spawnConfined } from '../../host/confined-spawn.js';
import type { ConfinedChild } from '../../host/own-child.js';
import { childrenOf, identifyProcess, killProcess, sameProcess } from '../../host/process.js';
import type { Tool } from '../../host/tools.js';
import { holdDirectory } from '../../host/unix-datagram.js';
import { SOCKETS_FD, type UmlRunDir } from './uml-run-dir.js';

export interface SlirpTools extends ConfinementTools {
  readonly slirp: Tool;
  readonly nsenter: string;
}

export interface SlirpPlace {
  readonly runDir: UmlRunDir;
  /** The first process of the VM's PID namespace, in which slirp4netns runs, too: it ends with the VM. */
  readonly init: ProcessIdentity;
  /** Who it runs as; null: our user. */
  readonly user: { readonly uid: number; readonly gid: number } | null;
}

export interface SlirpPlan {
  /** Of the NIC. */
  readonly slot: number;
  readonly cidr: string;
  /** It opens ports below 1024. */
  readonly privileged: boolean;
}

/** What one is started with. JSON. */
export interface SlirpRecipe {
  readonly plan: SlirpPlan;
  readonly tools: SlirpTools;
}

export interface RunningSlirp {
  readonly tools: SlirpTools;
  readonly process: ProcessIdentity;
  readonly child: ConfinedChild;
}

/** One that was started before its NIC is known. */
export interface BegunSlirp {
  readonly plan: SlirpPlan;
  readonly running: Promise<RunningSlirp>;
}

const START_TIMEOUT_MS = 10_000;
const POLL_MS = 5;
const MAX_FILE_BYTES = 1 << 20;

/** Resolves when UML can connect to it. All or nothing. */
export async function startSlirp(
  place: SlirpPlace,
  { tools, plan }: SlirpRecipe,
  call: CallOptions,
): Promise<RunningSlirp> {
  const child = await spawn(place, tools, plan);
  try {
    await untilListening(child, join(place.runDir.sockets, `b${plan.slot}`), call);
    const [pid] = childrenOf(child.identity.pid);
    const process = pid === undefined ? undefined : identifyProcess(pid);
    if (!process) throw await ended(child);
    return { tools, process, child };
  } catch (error) {
    await killFamily(child.identity, { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
    throw error;
  }
}

/** Before its NIC is known; it ends with the VM at the latest. @param outer the parent of the first of the VM's namespace. */
export function beginSlirp(
  { plan, tools }: SlirpRecipe,
  place: Omit<SlirpPlace, 'init'>,
  outer: ProcessIdentity,
): BegunSlirp | undefined {
  const [pid] = childrenOf(outer.pid);
  const init = pid === undefined ? undefined : identifyProcess(pid);
  if (!init) return undefined;
  const running = startSlirp({ ...place, init }, { plan, tools }, { signal: AbortSignal.timeout(START_TIMEOUT_MS) });
  running.catch(() => {});
  return { plan, running };
}

async function spawn(
  { runDir, init, user }: SlirpPlace,
  tools: SlirpTools,
  { slot, cidr, privileged }: SlirpPlan,
): Promise<ConfinedChild> {
  const root = process.getuid?.() === 0;
  const socket = (name: string) => `/proc/self/fd/${SOCKETS_FD}/${name}${slot}`;
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

async function untilListening(child: ConfinedChild, path: string, { signal }: CallOptions): Promise<void> {
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

/** slirp4netns is two processes, of which the second does not end with the first. */
export async function killFamily(process: ProcessIdentity, call: CallOptions): Promise<void> {
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
