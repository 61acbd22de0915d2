import { appendFile, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestSession } from '../../agent.js';
import type { CallOptions } from '../../calls.js';
import { CONTAINER_LOG_BYTES } from '../../container.js';
import type { LogSpec } from '../spec-parts/log.js';

const CHUNK_BYTES = 256 * 1024;
/** As much as the guest keeps: one that writes faster than it is read does not keep us here. */
const MAX_ROUND_BYTES = 4 * CONTAINER_LOG_BYTES;

export const containerLogDirectory = (dataDir: string, container: string) => join(dataDir, 'logs', container);

/** A part of a container's output: `generation` is a boot of the pod, `offset` of its first byte since then. */
export interface LogPart {
  readonly path: string;
  readonly generation: number;
  readonly offset: number;
}

/**
 * The recorded parts, oldest first. Their names say what they hold, so that nothing beside them has to be kept in step: what
 * comes next begins at the offset of the last one and its size.
 */
export async function logParts(directory: string): Promise<LogPart[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .flatMap((name): LogPart[] => {
      const match = /^(\d{1,16})-(\d{1,16})\.log$/.exec(name);
      return match ? [{ path: join(directory, name), generation: Number(match[1]), offset: Number(match[2]) }] : [];
    })
    .sort((a, b) => a.generation - b.generation || a.offset - b.offset);
}

/** Takes from the guest what it has written since; a guest that lies about it fills no more than `limits` says. */
export async function collectLog(
  session: GuestSession,
  container: string,
  directory: string,
  generation: number,
  { maxFiles, maxFileBytes }: LogSpec,
  call: CallOptions,
): Promise<void> {
  if (maxFiles === 0) return;
  let parts = await logParts(directory);
  let part = parts.findLast((each) => each.generation === generation);
  let size = part ? (await stat(part.path)).size : 0;
  let offset = part ? part.offset + size : 0;
  for (let taken = 0; taken < MAX_ROUND_BYTES; ) {
    const log = await session.readContainerLog(container, { offset, maxBytes: CHUNK_BYTES }, call);
    const content = log.content.subarray(0, CHUNK_BYTES);
    if (content.length === 0) return;
    const lost = log.offset !== offset;
    if (lost) offset = Math.max(offset, log.offset);
    if (!part || lost || size + content.length > maxFileBytes) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const name = `${String(generation).padStart(14, '0')}-${String(offset).padStart(16, '0')}.log`;
      part = { path: join(directory, name), generation, offset };
      size = 0;
      parts.push(part);
      for (const old of parts.slice(0, Math.max(0, parts.length - maxFiles))) await rm(old.path, { force: true });
      parts = parts.slice(-maxFiles);
    }
    await appendFile(part.path, content, { mode: 0o600 });
    size += content.length;
    offset += content.length;
    taken += content.length;
  }
}
