import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { dirname } from 'node:path';
import { HyperplugError } from '../core/errors.js';
import { somebodyListens } from '../host/dead-socket.js';
import { ensureDirectory } from '../host/paths.js';

/** sun_path of unix(7), less the byte that ends it. */
const MAX_PATH_BYTES = 107;
const OWNER_ONLY = 0o177;

/** Where the daemon listens: a path of its own, or a socket that the service manager has opened. */
export type Listening = { readonly path: string } | { readonly fd: number };

/**
 * Listens, at a path with mode 0600. A socket that lies there is replaced when nobody answers at it: the caller holds the lock
 * that says that no other daemon of this state is about.
 * @throws DAEMON_RUNNING somebody answers there; HOST_PERMISSION the place is not ours; HOST_IO.
 */
export async function listenOn(server: Server, place: Listening): Promise<void> {
  if ('path' in place) await clearPath(place.path);
  // The mode is right from the start: bind(2) is made within listen(), and nothing else runs meanwhile.
  const umask = process.umask(OWNER_ONLY);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place, () => {
        server.off('error', reject);
        resolve();
      });
      process.umask(umask);
    });
  } catch (cause) {
    const where = 'path' in place ? place.path : `descriptor ${place.fd}`;
    throw new HyperplugError('HOST_IO', `socket ${where}: ${(cause as Error).message}`, {
      cause,
      details: { ...place },
    });
  } finally {
    process.umask(umask);
  }
  if ('path' in place) chmodSync(place.path, 0o600);
}

async function clearPath(path: string): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    throw new HyperplugError(
      'CONFIG_INVALID',
      `daemon.socket: expected at most ${MAX_PATH_BYTES} bytes, got ${bytes}: ${path}`,
      {
        details: { field: 'daemon.socket', expected: MAX_PATH_BYTES, received: path },
      },
    );
  }
  ensureDirectory(dirname(path), 0o700);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) {
    throw new HyperplugError('HOST_PERMISSION', `daemon.socket: expected a socket or nothing at ${path}`, {
      details: { path },
    });
  }
  if (await somebodyListens(path)) {
    throw new HyperplugError('DAEMON_RUNNING', `another program listens at ${path}`, { details: { path } });
  }
  unlinkSync(path);
}
