import { join } from 'node:path';
import { connectHyperplug } from '../../src/client/index.js';
import type { PluginLogger } from '../../src/core/plugin.js';
import type { Hyperplug } from '../../src/core/pod/types.js';
import { Daemon } from '../../src/daemon/daemon.js';
import type { ServerLimits } from '../../src/daemon/server.js';

export interface TestDaemon {
  readonly daemon: Daemon;
  readonly socketPath: string;
  /** Lines of the log, of which only warnings and worse are kept. */
  readonly log: { readonly level: string; readonly fields: object; readonly message: string }[];
  connect(): Promise<Hyperplug>;
}

/** A daemon in this very process, on an engine of the test's choice; its socket lies in `root`. */
export async function startDaemon(
  root: string,
  hyperplug: Hyperplug,
  limits: Partial<ServerLimits> = {},
): Promise<TestDaemon> {
  const log: TestDaemon['log'] = [];
  const at = (level: string) => (fields: object, message: string) => void log.push({ level, fields, message });
  const logger: PluginLogger = { debug: () => {}, info: () => {}, warn: at('warn'), error: at('error') };
  const socketPath = join(root, 'run', 'daemon.sock');
  const daemon = await Daemon.start({
    hyperplug,
    listen: { path: socketPath },
    lockPath: join(root, 'state', 'daemon.lock'),
    limits: { maxStreams: 256, maxConnections: 512, ...limits },
    logger,
    version: '1.2.3',
  });
  return { daemon, socketPath, log, connect: () => connectHyperplug({ socketPath }) };
}
