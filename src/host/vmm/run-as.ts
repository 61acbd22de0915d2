import { randomInt } from 'node:crypto';
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { HyperplugError } from '../../core/errors.js';
import type { RunAsUser } from '../confined-spawn.js';
import { hasRoot } from '../privilege.js';
import type { Tool } from '../tools.js';
import type { RunDir } from './run-dir.js';

export interface RunAsOptions {
  readonly runAs: 'auto' | 'none' | { readonly uid: number; readonly gid: number };
  readonly uidRange: { readonly first: number; readonly count: number };
}

/** Who the hypervisor runs as, and why. */
export interface RunAsDecision {
  /** undefined: as this process's user. */
  readonly user: RunAsUser | undefined;
  readonly reason: string;
}

/**
 * Decides on the user and gives it the socket directory. Only root can; anyone else's hypervisor is its own anyway.
 * @param device one that the user must be able to open.
 * @throws HOST_PERMISSION the configured user cannot run the program; or no uid of the range is free.
 */
export async function chooseUser(
  options: RunAsOptions,
  runDir: RunDir,
  program: Tool,
  device?: string,
): Promise<RunAsDecision> {
  if (!hasRoot()) return { user: undefined, reason: 'started without root' };
  if (options.runAs === 'none') return { user: undefined, reason: 'runAs: none' };
  const deviceGroups = device === undefined ? [] : groupsFor(device);
  const obstacle = deviceGroups === undefined ? `${device} is root's alone` : unreachable(program.root ?? program.path);
  if (obstacle !== undefined) {
    if (options.runAs !== 'auto') throw new HyperplugError('HOST_PERMISSION', `runAs: ${obstacle}`);
    return { user: undefined, reason: `${obstacle}: it keeps the user root, without capabilities` };
  }
  const groups = deviceGroups ?? [];
  if (options.runAs !== 'auto') {
    await chown(runDir.sockets, options.runAs.uid, options.runAs.gid);
    return { user: { ...options.runAs, groups }, reason: 'runAs' };
  }
  const uid = await takeFreeUid(options.uidRange, runDir);
  return { user: { uid, gid: uid, groups }, reason: 'runAs: auto' };
}

/** undefined: no group helps. Empty: none is needed. */
function groupsFor(device: string): readonly number[] | undefined {
  const stats = statSync(device, { throwIfNoEntry: false });
  if (!stats || (stats.mode & 0o006) === 0o006) return [];
  return (stats.mode & 0o060) === 0o060 && stats.gid !== 0 ? [stats.gid] : undefined;
}

/** The part of a path that other users cannot pass, in words. */
function unreachable(path: string): string | undefined {
  for (let part = resolve(path); ; part = dirname(part)) {
    const stats = statSync(part, { throwIfNoEntry: false });
    if (!stats) return `${part} does not exist`;
    if ((stats.mode & 0o001) === 0) return `${part} is closed to other users`;
    if (part === dirname(part)) return undefined;
  }
}

/**
 * A uid that no other VM below the same parent directory has. The socket directory's owner is the reservation, so two
 * launches that draw the same number see each other and both draw again.
 */
async function takeFreeUid(range: RunAsOptions['uidRange'], runDir: RunDir): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const uid = range.first + randomInt(range.count);
    if (uidsInUse(runDir).has(uid)) continue;
    await chown(runDir.sockets, uid, uid);
    if (!uidsInUse(runDir).has(uid)) return uid;
  }
  throw new HyperplugError(
    'HOST_PERMISSION',
    `uidRange: expected a free uid from ${range.first} on, ${range.count} of them, found none in 100 attempts`,
  );
}

function uidsInUse(runDir: RunDir): Set<number> {
  const parent = dirname(runDir.path);
  const uids = new Set<number>();
  for (const entry of readdirSync(parent, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const sockets = join(parent, entry.name, 's');
    if (sockets === runDir.sockets) continue;
    const stats = lstatSync(sockets, { throwIfNoEntry: false });
    if (stats) uids.add(stats.uid);
  }
  return uids;
}

/** @throws IMAGE_NOT_FOUND `field` cannot be read by that user, though by us. */
export function checkReadable(field: string, path: string, user: RunAsUser | undefined): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile()) {
    throw new HyperplugError('IMAGE_NOT_FOUND', `${field}: expected a file, got ${path}${stats ? '' : ' (not there)'}`);
  }
  if (!user) return;
  const { mode, uid, gid } = stats;
  const bit = uid === user.uid ? 0o400 : [user.gid, ...user.groups].includes(gid) ? 0o040 : 0o004;
  if ((mode & bit) !== 0) return;
  throw new HyperplugError(
    'IMAGE_NOT_FOUND',
    `${field}: expected a file that the user the hypervisor runs as (${user.uid}) can read, got ${path} with mode 0${(mode & 0o777).toString(8)}; make it readable to all, or set runAs`,
    { details: { field, path } },
  );
}
