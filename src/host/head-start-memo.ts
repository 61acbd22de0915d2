import {
  closeSync,
  constants,
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
}

/** No id and no MAC address looks like these. */
const ID = 'pod-##########';
const MAC = /##:##:##:##:##:[0-9a-f]{2}/g;
const mac = (index: number) => `##:##:##:##:##:${index.toString(16).padStart(2, '0')}`;

/** Ids of pods that were given none by their user. */
const GIVEN_ID = /^pod-[0-9a-f]{10}$/;

const PREFIX = 'ahead-';
/** Commands that differ from each other in more than what runs in the pod; the older ones are forgotten. */
const KEPT = 16;

/** @param digest of the command. */
export const memoPath = (directory: string, digest: string) => join(directory, `${PREFIX}${digest}.json`);

export const rememberable = ({ spec }: Ahead): boolean => GIVEN_ID.test(spec.id) && spec.nics.length <= 256;

export function textOf(ahead: Ahead): string {
  const { id, nics } = ahead.spec;
  const text = JSON.stringify(ahead).replaceAll(id, ID);
  return nics.reduce((so, nic, index) => so.replaceAll(nic.mac, mac(index)), text);
}

/** Placeholders of MAC addresses, in the order of the NICs. */
export const macsIn = ({ text }: Memo): readonly string[] => [...new Set(text.match(MAC))].sort();

export const filled = <A extends Ahead>({ text }: Memo, podId: string, macs: readonly string[]): A =>
  JSON.parse(macs.reduce((so, own, index) => so.replaceAll(mac(index), own), text.replaceAll(ID, podId))) as A;

/** undefined: there is none, or one that somebody else can have written. */
export function readMemo(path: string): Memo | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(fd);
      if (!stats.isFile() || stats.uid !== process.geteuid?.() || (stats.mode & 0o022) !== 0) return undefined;
      const { driver, text } = JSON.parse(readFileSync(fd, 'utf8')) as Partial<Memo>;
      return typeof driver === 'string' && typeof text === 'string' ? { driver, text } : undefined;
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

/** Where it cannot be written nothing is remembered. */
export function writeMemo(path: string, { driver, text }: Memo): void {
  const known = readMemo(path);
  if (known?.driver === driver && known.text === text) return;
  const unfinished = `${path}.${process.pid}`;
  try {
    writeFileSync(unfinished, JSON.stringify({ driver, text } satisfies Memo), { mode: 0o600, flag: 'wx' });
    renameSync(unfinished, path);
    prune(dirname(path));
  } catch {
    rmSync(unfinished, { force: true });
  }
}

export function forgetMemo(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is of no use, and of no harm.
  }
}

function prune(directory: string): void {
  const paths = readdirSync(directory)
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => join(directory, name));
  const written = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  for (const path of paths.sort((a, b) => written(b) - written(a)).slice(KEPT)) forgetMemo(path);
}
