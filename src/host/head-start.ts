import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import type { ProcessIdentity, VmSpec } from '../core/hypervisor.js';
import { randomMac } from '../core/mac.js';
import type { PluginLogger } from '../core/plugin.js';
import { podDirectories } from '../core/pod/services.js';
import type { UndoStack } from '../core/undo.js';
import { filled, forgetMemo, type Memo, macsIn, readMemo, rememberable, textOf, writeMemo } from './head-start-memo.js';
import { acquireLock, keepLockFor, takeKeptLock } from './lock.js';
import { ensureDirectory } from './paths.js';
import { sameProcess } from './process.js';

/**
 * A head start: a command that starts a VM as an earlier one did begins with the hypervisor, by what is remembered of that
 * one, and loads the program while the guest boots. The driver takes the VM if it would launch exactly the same, and ends it
 * otherwise. Such a VM ends with this process; its pod's lock is held before its first file is made; and should this process
 * be killed, its files have no record, as which the next start removes them.
 */
export interface HeadStart {
  readonly podId: string;
  /** Of its NICs, in their order. */
  readonly macs: readonly string[];
}

/** What of it must be known of a VM that was begun. */
interface Begun {
  readonly undo: UndoStack;
  readonly process: { readonly identity: ProcessIdentity };
}

/** What a launch follows from, as plain data: this, and the driver's own. */
export interface Ahead {
  readonly spec: VmSpec;
}

/** By drivers' names. */
export type Beginners = Readonly<Record<string, (ahead: never, signal: AbortSignal) => Promise<Begun>>>;

/** Where a pod has what is its own. */
export interface PodPlace {
  readonly id: string;
  readonly runDir: string;
  readonly consoleLogPath: string;
}

interface UnderWay extends HeadStart {
  readonly memo: Memo;
  readonly place: ReturnType<typeof podDirectories>;
  readonly begun: Begun;
}

export const NOBODYS_LOG: PluginLogger = { debug() {}, info() {}, warn() {}, error() {} };

const BEGIN_TIMEOUT_MS = 10_000;
const LOCK_TIMEOUT_MS = 2_000;
/** That end a program which does not listen. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Of this command's memo; undefined: this process has nothing to do with head starts. */
let memoPath: string | undefined;
/** What was launched. */
let remembered: Memo | undefined;
let underWay: UnderWay | undefined;
let inVain = false;
/** It has been begun, or cannot be. */
let ready = false;
/** To end, before the command listens. */
let asked: NodeJS.Signals | undefined;

/** @param path where what this command launches is, or shall be, remembered. Never rejects. */
export async function beginHeadStart(path: string, beginners: Beginners): Promise<void> {
  memoPath = path;
  const memo = readMemo(path);
  const begin = memo && beginners[memo.driver];
  if (!memo || !begin) return;
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    underWay = await started(memo, begin);
  } catch {
    // The command goes on as if nothing were remembered, and says what is wrong, if it is.
    inVain = true;
  }
  ready = true;
  if (asked) await end(asked);
}

/** As long as the command does not listen itself. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1 || asked) return;
  asked = signal;
  if (ready) void end(signal);
}

async function end(signal: NodeJS.Signals): Promise<never> {
  try {
    if (underWay) await abandon(underWay);
  } catch {
    // It is for the next start, then: the kernel ends the VM with us.
  }
  process.exit(128 + constants.signals[signal]);
}

async function started(memo: Memo, begin: Beginners[string]): Promise<UnderWay> {
  const podId = `pod-${randomBytes(5).toString('hex')}`;
  const macs = macsIn(memo).map(() => randomMac());
  const ahead = filled<Ahead>(memo, podId, macs);
  const { spec } = ahead;
  const state = dirname(dirname(dirname(spec.consoleLogPath)));
  const runtime = dirname(dirname(spec.runDir));
  const place = podDirectories({ state, runtime }, podId);
  const known = spec.id === podId && spec.runDir === place.run && spec.consoleLogPath === place.consoleLog;
  // Those that are gone are not made again: they may be others by now.
  if (!known || ![state, runtime].every((path) => existsSync(path))) throw new TypeError('not of this pod');
  for (const directory of [state, runtime]) ensureDirectory(directory, 0o700);
  const signal = AbortSignal.timeout(BEGIN_TIMEOUT_MS);
  const lock = await acquireLock(place.lock, { signal, purpose: `pod ${podId}` });
  try {
    for (const path of [place.run, place.data]) mkdirSync(path, { recursive: true, mode: 0o700 });
    const begun = await begin(ahead as never, signal);
    keepLockFor(place.lock, lock);
    return { podId, macs, memo, place, begun };
  } catch (error) {
    for (const path of [place.run, place.data]) await rm(path, { recursive: true, force: true });
    await lock.release({ remove: true });
    throw error;
  }
}

/** The pod whose VM boots already. */
export const headStart = (): HeadStart | undefined => underWay;

/**
 * Before its pod's VM is launched, or comes from elsewhere: what was begun for it ends if it is of another driver, or another
 * place. @param driver undefined: none is asked for one.
 */
export async function confirmHeadStart(pod: PodPlace, driver: string | undefined): Promise<void> {
  if (underWay?.podId !== pod.id) return;
  const { memo, place } = underWay;
  const fits = memo.driver === driver && place.run === pod.runDir && place.consoleLog === pod.consoleLogPath;
  if (!fits) await abandon(underWay, pod);
}

/** What was begun, if it is just what is wanted and lives. What was begun there otherwise has ended when this resolves. */
export async function takeHeadStart<B>(driver: string, ahead: Ahead, log: PluginLogger): Promise<B | undefined> {
  const { id } = ahead.spec;
  if (underWay?.podId !== id) return undefined;
  const { begun, memo } = underWay;
  const wanted = memo.driver === driver && memo.text === textOf(ahead);
  const lives = sameProcess(begun.process.identity);
  log.debug({ vm: id, wanted, lives }, 'a VM was begun ahead');
  if (!wanted || !lives) {
    await abandon(underWay, ahead.spec);
    return undefined;
  }
  underWay = undefined;
  return begun as B;
}

/** The next command that is the same may begin with it. */
export function rememberHeadStart(driver: string, ahead: Ahead): void {
  if (memoPath !== undefined && rememberable(ahead)) remembered = { driver, text: textOf(ahead) };
}

/** Others do what this command is about, or this process elsewhere: what was begun ends, and is begun no more. */
export async function giveUpHeadStart(): Promise<void> {
  if (memoPath === undefined || !underWay) return;
  forgetMemo(memoPath);
  await abandon(underWay);
}

/** The command has ended: a VM that nobody has taken ends, and the launch that there was is remembered. */
export async function settleHeadStart(): Promise<void> {
  if (memoPath === undefined) return;
  if (underWay) await abandon(underWay);
  if (remembered) writeMemo(memoPath, remembered);
  else if (inVain) forgetMemo(memoPath);
}

/** @param pod whose directories these are by now, if they are its. */
async function abandon({ begun, place }: UnderWay, pod?: PodPlace): Promise<void> {
  underWay = undefined;
  inVain = true;
  const [error] = await begun.undo.unwind();
  if (error) throw error;
  const kept = takeKeptLock(place.lock);
  // Whoever had the lock since has failed, or is the pod.
  const lock =
    kept ?? (pod ? undefined : await acquireLock(place.lock, { signal: AbortSignal.timeout(LOCK_TIMEOUT_MS) }));
  try {
    if (place.run !== pod?.runDir) await rm(place.run, { recursive: true, force: true });
    if (place.consoleLog !== pod?.consoleLogPath) await rm(place.data, { recursive: true, force: true });
  } finally {
    await lock?.release({ remove: true });
  }
}
