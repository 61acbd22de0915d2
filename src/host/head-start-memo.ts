import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Ahead } from './head-start.js';

/** A launch as it is remembered. */
export interface Memo {
  readonly driver: string;
  /** JSON of what the launch follows from, with placeholders for what each VM has of its own. */
  readonly text: string;
  /** The same for the launcher (launch-recipe.ts); empty: it cannot begin such a one. */
  readonly recipe: string;
}

/** Of a command's memo. */
export interface MemoPlace {
  readonly path: string;
  /** Of the command, its user, place and environment: all that a launch follows from. */
  readonly subject: Buffer;
}

/** No id and no MAC address looks like these; launcher/recipe.c has them too. */
const ID = 'pod-##########';
const MAC = /##:##:##:##:##:[0-9a-f]{2}/g;
const mac = (index: number) => `##:##:##:##:##:${index.toString(16).padStart(2, '0')}`;

/** Ids of pods that were given none by their user. */
const GIVEN_ID = /^pod-[0-9a-f]{10}$/;

const PREFIX = 'ahead-';
/** Commands that differ from each other in more than what runs in the pod; the older ones are forgotten. */
const KEPT = 16;

/** The first line of a memo's file: this, and the lengths of its parts in bytes: subject, driver, text, recipe (launcher/memo.c). */
const FORMAT = 'hyperplug-ahead-2';

export function memoPlace(directory: string, subject: Buffer): MemoPlace {
  return { path: join(directory, `${PREFIX}${fnv1a(subject)}`), subject };
}

/** It names the file; whose it is tells the subject in it. */
function fnv1a(bytes: Buffer): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

export const rememberable = ({ spec }: Ahead): boolean => GIVEN_ID.test(spec.id) && spec.nics.length <= 256;

export const textOf = (ahead: Ahead): string => emptied(JSON.stringify(ahead), ahead);

/** With placeholders for what the VM has of its own. */
export const emptied = (text: string, { spec: { id, nics } }: Ahead): string =>
  nics.reduce((so, nic, index) => so.replaceAll(nic.mac, mac(index)), text.replaceAll(id, ID));

/** Placeholders of MAC addresses, in the order of the NICs. */
export const macsIn = ({ text }: Memo): readonly string[] => [...new Set(text.match(MAC))].sort();

export const filled = <A extends Ahead>({ text }: Memo, podId: string, macs: readonly string[]): A =>
  JSON.parse(macs.reduce((so, own, index) => so.replaceAll(mac(index), own), text.replaceAll(ID, podId))) as A;

/** undefined: there is none, or one that somebody else can have written. */
export function readMemo({ path, subject }: MemoPlace): Memo | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.uid !== process.geteuid?.() || (stats.mode & 0o022) !== 0) return undefined;
      return parseMemo(readFileSync(fd), subject);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

export function parseMemo(content: Buffer, subject: Buffer): Memo | undefined {
  const start = content.indexOf('\n') + 1;
  const [format, ...lengths] = content.toString('latin1', 0, start).trimEnd().split(' ');
  if (format !== FORMAT || lengths.length !== 4) return undefined;
  let at = start;
  const [of, driver, text, recipe] = lengths.map((length) => {
    const from = at;
    at += Number(length);
    return content.subarray(from, at);
  }) as [Buffer, Buffer, Buffer, Buffer];
  if (at !== content.length || !of.equals(subject)) return undefined;
  return { driver: driver.toString(), text: text.toString(), recipe: recipe.toString() };
}

function formatMemo({ driver, text, recipe }: Memo, subject: Buffer): Buffer {
  const parts = [subject, ...[driver, text, recipe].map((part) => Buffer.from(part))];
  return Buffer.concat([Buffer.from(`${[FORMAT, ...parts.map(({ length }) => length)].join(' ')}\n`), ...parts]);
}

/** Where it cannot be written nothing is remembered. */
export function writeMemo(place: MemoPlace, memo: Memo): void {
  const known = readMemo(place);
  if (known?.driver === memo.driver && known.text === memo.text && known.recipe === memo.recipe) return;
  replaceFile(place.path, formatMemo(memo, place.subject), 0o600);
  prune(dirname(place.path));
}

/** Whole or not at all. */
function replaceFile(path: string, content: Buffer, mode: number): void {
  const unfinished = `${path}.${process.pid}`;
  try {
    writeFileSync(unfinished, content, { mode, flag: 'wx', flush: true });
    renameSync(unfinished, path);
  } catch {
    rmSync(unfinished, { force: true });
  }
}

/** Where `hyperplug` finds it: beside what is remembered, for whoever may change the one may change the other. */
export function keepLauncher({ path }: MemoPlace, launcher: string): void {
  const kept = join(dirname(path), 'launcher');
  try {
    const content = readFileSync(launcher);
    if (existsSync(kept) && readFileSync(kept).equals(content)) return;
    replaceFile(kept, content, 0o755);
  } catch {
    // The next command begins without it.
  }
}

export function forgetMemo({ path }: MemoPlace): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is of no use, and of no harm.
  }
}

function prune(directory: string): void {
  try {
    const paths = readdirSync(directory)
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => join(directory, name));
    const written = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    for (const path of paths.sort((a, b) => written(b) - written(a)).slice(KEPT)) rmSync(path, { force: true });
  } catch {
    // The next one that is written tries again.
  }
}
