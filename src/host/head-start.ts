import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import type { ProcessIdentity, VmSpec } from '../core/hypervisor.js';
import { randomMac } from '../core/mac.js';
import type { PluginLogger } from '../core/plugin.js';
import { podDirectories } from '../core/pod/services.js';
import type { UndoStack } from '../core/undo.js';
import { type GivenVm, leaveToJanitor, parseGiven, tellTaken } from './head-start-given.js';
import {
  emptied,
  filled,
  forgetMemo,
  keepLauncher,
  type Memo,
  type MemoPlace,
  macsIn,
  parseMemo,
  readMemo,
  rememberable,
  textOf,
  writeMemo,
} from './head-start-memo.js';
import { encodeRecipe, noteIn, type Step, withNote } from './launch-recipe.js';
import { acquireLock, givenLock, keepLockFor, takeKeptLock } from './lock.js';
import { ensureDirectory } from './paths.js';
import { currentBootId, sameProcess } from './process.js';

/**
 * A head start: a command that starts a VM as an earlier one did begins with the hypervisor, by what is remembered of that
 * one, and loads the program while the guest boots. The driver takes the VM if it would launch exactly the same, and ends it
 * otherwise. Such a VM ends with this process; its pod's lock is held before its first file is made; and should this process
 * be killed, its files have no record, as which the next start removes them. Where there is a launcher it does the first part,
 * before this process is a program; should it not be taken over from that, who waits for it undoes all (launcher/ahead.c).
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

/** A driver's. */
export interface Beginner<A extends Ahead = never> {
  /** All or nothing. */
  begin(ahead: A, signal: AbortSignal): Promise<Begun>;
  /** What the launcher has begun by the driver's recipe. */
  takeOver(ahead: A, given: GivenVm, note: string | undefined): Promise<Begun>;
}

/** By drivers' names. */
export type Beginners = Readonly<Record<string, () => Promise<Beginner>>>;

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
  readonly by: 'launcher' | 'program';
}

export const NOBODYS_LOG: PluginLogger = { debug() {}, info() {}, warn() {}, error() {} };

const BEGIN_TIMEOUT_MS = 10_000;
const LOCK_TIMEOUT_MS = 2_000;
/** That end a program which does not listen. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Of this command's memo; undefined: this process has nothing to do with head starts. */
let memoPlace: MemoPlace | undefined;
/** What was launched, and by which launcher others like it can be. */
let remembered: (Memo & { readonly vmId: string; readonly launcherPath?: string | undefined }) | undefined;
let underWay: UnderWay | undefined;
let inVain = false;
/** It has been begun, or cannot be. */
let ready = false;
/** To end, before the command listens. */
let asked: NodeJS.Signals | undefined;

/**
 * @param place where what this command launches is, or shall be, remembered. @param given what the launcher tells of the VM that
 * it has begun. Never rejects.
 */
export async function beginHeadStart(place: MemoPlace, beginners: Beginners, given?: string): Promise<void> {
  memoPlace = place;
  const memo = given === undefined ? readMemo(place) : undefined;
  if (given === undefined && !memo) return;
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    underWay = await (memo ? started(memo, beginners) : takenOver(place, parseGiven(given ?? ''), beginners));
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

/** Where a VM that is remembered goes. @throws TypeError not where its pod of this id has its own. */
function placesOf({ spec }: Ahead, podId: string) {
  const state = dirname(dirname(dirname(spec.consoleLogPath)));
  const runtime = dirname(dirname(spec.runDir));
  const place = podDirectories({ state, runtime }, podId);
  const known = spec.id === podId && spec.runDir === place.run && spec.consoleLogPath === place.consoleLog;
  if (!known) throw new TypeError('not of this pod');
  return { state, runtime, place };
}

async function beginnerOf({ driver }: Memo, beginners: Beginners): Promise<Beginner> {
  const beginner = beginners[driver];
  if (!beginner) throw new TypeError(`driver ${driver} begins nothing`);
  return beginner();
}

const purposeOf = (podId: string) => `pod ${podId}`;

async function started(memo: Memo, beginners: Beginners): Promise<UnderWay> {
  const { begin } = await beginnerOf(memo, beginners);
  const podId = `pod-${randomBytes(5).toString('hex')}`;
  const macs = macsIn(memo).map(() => randomMac());
  const ahead = filled<Ahead>(memo, podId, macs);
  const { state, runtime, place } = placesOf(ahead, podId);
  // Those that are gone are not made again: they may be others by now.
  if (![state, runtime].every((path) => existsSync(path))) throw new TypeError('not there');
  for (const directory of [state, runtime]) ensureDirectory(directory, 0o700);
  const signal = AbortSignal.timeout(BEGIN_TIMEOUT_MS);
  const lock = await acquireLock(place.lock, { signal, purpose: purposeOf(podId) });
  try {
    for (const path of [place.run, place.data]) mkdirSync(path, { recursive: true, mode: 0o700 });
    const begun = await begin(ahead as never, signal);
    keepLockFor(place.lock, lock);
    return { podId, macs, memo, place, begun, by: 'program' };
  } catch (error) {
    for (const path of [place.run, place.data]) await rm(path, { recursive: true, force: true });
    await lock.release({ remove: true });
    throw error;
  }
}

/** What the launcher has begun; if it cannot be had, nothing of it stays. */
async function takenOver({ subject }: MemoPlace, given: GivenVm, beginners: Beginners): Promise<UnderWay> {
  try {
    const memo = parseMemo(readFileSync(given.memoFd), subject);
    closeSync(given.memoFd);
    if (!memo) throw new TypeError('not of this command');
    const { podId, macs } = given;
    const ahead = filled<Ahead>(memo, podId, macs);
    const { place } = placesOf(ahead, podId);
    const { takeOver } = await beginnerOf(memo, beginners);
    const begun = await takeOver(ahead as never, given, noteIn(memo.recipe));
    keepLockFor(place.lock, givenLock(place.lock, given.lockFd, purposeOf(podId)));
    tellTaken(given);
    return { podId, macs, memo, place, begun, by: 'launcher' };
  } catch (error) {
    await leaveToJanitor(given);
    throw error;
  }
}

/** For the launcher: `steps` are the driver's. Empty: it cannot begin such a VM. */
function recipeOf(ahead: Ahead, steps: readonly Step[]): string {
  const { spec } = ahead;
  const { state, runtime, place } = placesOf(ahead, spec.id);
  const { run, data, lock } = place;
  const recipe = encodeRecipe([
    ['boot', currentBootId()],
    ...[state, runtime].map((path): Step => ['own', path]),
    ...[run, data, lock].map((path): Step => ['directory', dirname(path)]),
    ['macs', spec.nics.length],
    ['lock', lock],
    ['new', run],
    ['new', data],
    ...steps,
  ]);
  // What looks like a placeholder would be taken for one.
  return JSON.stringify(ahead).includes('##') ? '' : emptied(recipe, ahead);
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
  const { begun, memo, by } = underWay;
  const wanted = memo.driver === driver && memo.text === textOf(ahead);
  const lives = sameProcess(begun.process.identity);
  log.debug({ vm: id, wanted, lives, by }, 'a VM was begun ahead');
  if (!wanted || !lives) {
    await abandon(underWay, ahead.spec);
    return undefined;
  }
  underWay = undefined;
  return begun as B;
}

/**
 * The next command that is the same may begin with it.
 * @param steps by which the launcher begins such a VM; undefined: it cannot.
 */
export function rememberHeadStart(driver: string, ahead: Ahead, steps: readonly Step[] | undefined): void {
  if (memoPlace === undefined || !rememberable(ahead)) return;
  const recipe = steps === undefined ? '' : recipeOf(ahead, steps);
  const { id: vmId, launcherPath } = ahead.spec;
  const text = textOf(ahead);
  remembered = { vmId, driver, text, recipe, launcherPath: recipe === '' ? undefined : launcherPath };
}

/** What the driver is told when such a VM is taken over; of the last that is noted. */
export function noteForHeadStart(vmId: string, note: string): void {
  if (remembered?.vmId !== vmId || remembered.recipe === '') return;
  remembered = { ...remembered, recipe: withNote(remembered.recipe, note) };
}

/** Others do what this command is about, or this process elsewhere: what was begun ends, and is begun no more. */
export async function giveUpHeadStart(): Promise<void> {
  if (memoPlace === undefined || !underWay) return;
  forgetMemo(memoPlace);
  await abandon(underWay);
}

/** The command has ended: a VM that nobody has taken ends, and the launch that there was is remembered. */
export async function settleHeadStart(): Promise<void> {
  if (memoPlace === undefined) return;
  if (underWay) await abandon(underWay);
  if (remembered) {
    writeMemo(memoPlace, remembered);
    if (remembered.launcherPath !== undefined) keepLauncher(memoPlace, remembered.launcherPath);
  } else if (inVain) forgetMemo(memoPlace);
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
