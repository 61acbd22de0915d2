import { randomUUID } from 'node:crypto';
import { closeSync, constants, existsSync, openSync, readdirSync, rmSync } from 'node:fs';
import { type CallOptions, raceSignal } from '../../core/calls.js';
import { overlap, parseSubnet } from '../../core/config/subnet.js';
import { HyperplugError } from '../../core/errors.js';
import type { HeldLock } from '../../core/host-services.js';
import type { ProgressSink } from '../../core/progress.js';
import { acquireLock, flock } from '../lock.js';
import { hasRoot } from '../privilege.js';
import { currentBootId, killProcess, ownIdentity, sameProcess } from '../process.js';
import type { ToolProvider } from '../tools.js';
import { SlirpForwards } from './forwards.js';
import { type RootlessTools, startHolder } from './holder.js';
import { linksOfVms } from './links.js';
import { current, namesPods, processesOf, survivor } from './look.js';
import { isBelow, processesIn } from './namespaces.js';
import { SessionFiles, type SessionRecord } from './record.js';
import { startSlirp } from './slirp.js';

const UNDO_MS = 10_000;

/** Where the namespace's own network may be; the first that no configured network overlaps. */
const RANGES = ['10.0.2.0/24', '10.233.77.0/24', '172.31.251.0/24', '192.168.251.0/24'];

export interface SessionRequest {
  readonly runtimeDirectory: string;
  readonly tools: ToolProvider;
  readonly progress: ProgressSink;
  /** Of the configured networks, in CIDR notation. */
  readonly subnets: readonly string[];
  readonly hostLoopback: boolean;
  readonly mtu: number;
  /** False: who only looks leaves what has died as it is. */
  readonly mend: boolean;
}

/** A use of the session: it is not ended before the descriptor is closed in every process that has it. */
export interface SessionUse {
  readonly files: SessionFiles;
  readonly record: SessionRecord;
  readonly useFd: number;
  /** What had died and was started again, in words. */
  readonly mended: readonly string[];
  readonly tools: RootlessTools;
}

/** Opens the use lock and holds it shared. Only with the change lock held, else it may be removed meanwhile. */
function use(files: SessionFiles): number {
  const fd = openSync(files.useLock, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (flock(files.useLock, fd, false)) return fd;
  closeSync(fd);
  throw new HyperplugError('HOST_PERMISSION', `lock ${files.useLock}: expected a shared one, somebody holds it alone`);
}

/**
 * The session of a runtime directory, made where there is none and mended where a part of it has died.
 * @throws HOST_TOOL_MISSING, HOST_PERMISSION (namespaces or /dev/net/tun are not for this user), TIMEOUT, ABORTED.
 */
export async function openSession(request: SessionRequest, call: CallOptions): Promise<SessionUse> {
  const files = SessionFiles.of(request.runtimeDirectory);
  const [tools, slirp] = await locateAll(request, call);
  files.make();
  await using lock = await acquireLock(files.changeLock, { signal: call.signal, purpose: 'rootless network' });
  const useFd = use(files);
  let made = false;
  try {
    const mended: string[] = [];
    let record = current(files);
    if (!record) {
      made = true;
      const lost = files.read()?.holder;
      if (lost?.bootId === currentBootId()) {
        mended.push(`the holder of the namespaces (process ${lost.pid}) had died, and they with it`);
      }
      record = await makeSession(files, request, tools, call);
    } else if (request.mend && !sameProcess(record.holder)) {
      mended.push(`the holder of the namespace (process ${record.holder.pid}) had died`);
      const { holder } = await startHolder(files, tools, survivor(files, record), call);
      record = { ...record, holder };
      files.write(record);
    }
    const { hostLoopback, mtu } = request;
    const { slirp: known } = record;
    const asAsked = record.hostLoopback === hostLoopback && record.mtu === mtu;
    if (known === null || (request.mend && !(asAsked && sameProcess(known)))) {
      if (known && !sameProcess(known)) mended.push(`slirp4netns (process ${known.pid}) had died`);
      if (known) await killProcess(known, call);
      record = { ...record, hostLoopback, mtu, slirp: null };
      files.write(record);
      // Its device is gone with it, and with that the default route.
      record = { ...record, slirp: await startSlirp(files, slirp, tools, record, call) };
      files.write(record);
      await new SlirpForwards(files, record).restore(call);
    }
    return { files, record, useFd, mended, tools };
  } catch (error) {
    closeSync(useFd);
    if (made) await unmakeSession(files, lock);
    throw error;
  }
}

async function locateAll({ tools, progress }: SessionRequest, { signal }: CallOptions) {
  const locate = (name: string) => raceSignal(tools.locate(name, { signal, progress }), signal, `locate ${name}`);
  const names = ['unshare', 'nsenter', 'cat', 'mkfifo'] as const;
  const [slirp, ...found] = await Promise.all([locate('slirp4netns'), ...names.map(locate)]);
  const paths = Object.fromEntries(names.map((name, index) => [name, found[index]?.path]));
  return [paths as unknown as RootlessTools, slirp] as const;
}

async function makeSession(
  files: SessionFiles,
  { subnets, hostLoopback, mtu }: SessionRequest,
  tools: RootlessTools,
  call: CallOptions,
): Promise<SessionRecord> {
  await removeProcesses(files, call);
  const { holder, netns } = await startHolder(files, tools, undefined, call);
  const cidr = RANGES.find((range) => subnets.every((subnet) => !overlapping(range, subnet))) ?? RANGES[0] ?? '';
  const fresh = { slirp: null, pinned: false, leaving: [] };
  const record: SessionRecord = { version: 1, id: randomUUID(), netns, holder, cidr, mtu, hostLoopback, ...fresh };
  files.write(record);
  files.writeForwards([]);
  return record;
}

/** Of one that was begun, and is nobody's. */
async function unmakeSession(files: SessionFiles, lock: HeldLock): Promise<void> {
  const call = { signal: AbortSignal.timeout(UNDO_MS) };
  await removeProcesses(files, call);
  if (await endUnused(files, call)) await removeFiles(files, lock);
}

async function removeFiles({ directory }: SessionFiles, lock: HeldLock): Promise<void> {
  await lock.release({ remove: true });
  rmSync(directory, { recursive: true, force: true });
}

function overlapping(one: string, other: string): boolean {
  const [a, b] = [parseSubnet(one), parseSubnet(other)];
  return 'family' in a && 'family' in b && overlap(a, b);
}

/** What a session that has ended left: slirp4netns holds its device, and so the network namespace. */
async function removeProcesses(files: SessionFiles, call: CallOptions): Promise<void> {
  const record = files.read();
  if (record?.slirp) await killProcess(record.slirp, call);
  if (record) await killProcess(record.holder, call);
  // Of who died before it was written down.
  for (const process of processesOf(files)) await killProcess(process, call);
}

/** From within it. Ends the session unless it is pinned, somebody uses it, or something runs in it. True: it is gone. */
export async function closeSession({ files, useFd }: Pick<SessionUse, 'files' | 'useFd'>, call: CallOptions) {
  await using lock = await acquireLock(files.changeLock, {
    signal: call.signal,
    purpose: 'end of the rootless network',
  });
  closeSync(useFd);
  if (!(await endUnused(files, call))) {
    noteLeaving(files);
    return false;
  }
  await removeFiles(files, lock);
  return true;
}

/** The next that leaves does not take this process, which may take its time to end, for one that runs on. The change lock is held. */
function noteLeaving(files: SessionFiles): void {
  const record = files.read();
  if (record) files.write({ ...record, leaving: [...record.leaving.filter(sameProcess), ownIdentity()] });
}

/** The change lock is held. */
async function endUnused(files: SessionFiles, call: CallOptions): Promise<boolean> {
  const record = files.read();
  if (record?.pinned && current(files)) return false;
  if (existsSync(files.useLock)) {
    const fd = openSync(files.useLock, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      if (!flock(files.useLock, fd, true)) return false;
    } finally {
      closeSync(fd);
    }
  }
  if (record && current(files)) {
    const ending = new Set([ownIdentity(), record.holder, ...record.leaving.filter(sameProcess)].map(({ pid }) => pid));
    const running = processesIn(record.netns).filter(({ pid }) => !ending.has(pid));
    if (running.length > 0 || (await linksOfVms(call)).length > 0 || vmsBeside(files)) return false;
  }
  await removeProcesses(files, call);
  return true;
}

/**
 * Whether VMs live that are in namespaces of their own and have no device here. As root those are of no namespace that ends
 * with the session: then what has the name of a pod's directory counts.
 */
function vmsBeside(files: SessionFiles): boolean {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .some((pid) => namesPods(files, pid) && (hasRoot() || isBelow(pid)));
}

/** Sets whether the session stays when nothing runs in it. */
export async function pinSession(files: SessionFiles, pinned: boolean, call: CallOptions): Promise<void> {
  await using _lock = await acquireLock(files.changeLock, { signal: call.signal, purpose: 'rootless network' });
  const record = files.read();
  if (record) files.write({ ...record, pinned });
}
