import { closeSync } from 'node:fs';
import type { CallOptions } from './core/calls.js';
import { raceSignal } from './core/calls.js';
import type { LoadedConfig } from './core/config/load-config.js';
import { HyperplugError } from './core/errors.js';
import type { GcFinding } from './core/gc/types.js';
import { HOST_TOKENS } from './core/plugin.js';
import type { ProgressSink } from './core/progress.js';
import { type OwnSession, ownSession, reenter, takeMended } from './host/rootless/enter.js';
import { SlirpForwards } from './host/rootless/forwards.js';
import { hasLosses, sessionDrift } from './host/rootless/look.js';
import { SessionFiles } from './host/rootless/record.js';
import type { ToolProvider } from './host/tools.js';

export interface EnterOptions {
  readonly runtimeDirectory: string;
  readonly tools: ToolProvider;
  readonly progress: ProgressSink;
  /** What has died is started again; false: it is left and can be looked at. */
  readonly mend: boolean;
}

/** What is needed of the host's own network, which is not reached from within as it is: done before this process goes there. */
const OUTSIDE_TOOLS = ['iptables-save', 'iptables-restore'];

/**
 * Goes on as this same program in the namespaces of rootless networks, if that is what the configuration asks for and this
 * process is not there yet: then it does not return.
 * @throws what openSession() and reenter() throw.
 */
export async function enterRootless({ config, networks }: LoadedConfig, options: EnterOptions, call: CallOptions) {
  if (!config.rootless.enabled || ownSession()) return;
  const { tools, progress } = options;
  const { signal } = call;
  for (const name of OUTSIDE_TOOLS)
    await raceSignal(tools.locate(name, { signal, progress }), signal, `locate ${name}`);
  const { hostLoopback, mtu } = config.rootless;
  const subnets = networks.flatMap((network) => network.subnets);
  const { openSession } = await sessions();
  reenter(await openSession({ ...options, subnets, hostLoopback, mtu }, call));
}

/**
 * What has died of a session that others are in is started again, without going there: they cannot do it. Answers with what
 * that was, in words.
 * @throws what openSession() throws.
 */
export async function mendRootless({ config, networks }: LoadedConfig, options: EnterOptions, call: CallOptions) {
  if (!config.rootless.enabled || ownSession() || !hasLosses(SessionFiles.of(options.runtimeDirectory))) return [];
  const { hostLoopback, mtu } = config.rootless;
  const subnets = networks.flatMap((network) => network.subnets);
  const { openSession } = await sessions();
  const { mended, useFd } = await openSession({ ...options, subnets, hostLoopback, mtu }, call);
  closeSync(useFd);
  return mended;
}

/** Loaded where networks are rootless: netlink comes with it. */
const sessions = () => import('./host/rootless/session.js');

export const isInside = (): boolean => ownSession() !== undefined;

/** The configuration asks for rootless networks, and this process is not where they are. */
export const isOutside = ({ config }: LoadedConfig): boolean => config.rootless.enabled && !isInside();

/** What the VMs of this process run in, by its name. */
export const sessionId = (): string | undefined => ownSession()?.record.id;

/** What plugins get of the session that this process is in. */
export function rootlessBindings() {
  const own = ownSession();
  return own ? [{ token: HOST_TOKENS.forwards, value: new SlirpForwards(own.files, own.record) }] : [];
}

/** @throws NOT_SUPPORTED: the configuration asks for rootless networks, and this process is not where they are. */
export function mustBeInside(loaded: LoadedConfig): void {
  if (!isOutside(loaded)) return;
  throw new HyperplugError(
    'NOT_SUPPORTED',
    'rootless.enabled: a program that runs already cannot enter namespaces: run the daemon with it, and connect to that',
  );
}

/** What was started again on the way here, or would be. */
export async function rootlessFindings(dryRun: boolean, call: CallOptions): Promise<readonly GcFinding[]> {
  const own = ownSession();
  if (!own) return [];
  const why = dryRun ? await sessionDrift(own.files, call) : takeMended();
  return why.map((text) => ({ kind: 'network', id: 'rootless', why: text, action: 'finished' }));
}

/** Lets go of the session that this process is in, and ends it if nothing needs it any more. */
export async function leaveRootless(call: CallOptions): Promise<void> {
  const own = ownSession();
  if (own) await (await sessions()).closeSession(own, call);
}

/** Networks that were made to stay keep the session; those that were torn down do not. */
export async function keepRootless(keep: boolean, call: CallOptions): Promise<void> {
  const own = ownSession();
  if (own) await (await sessions()).pinSession(own.files, keep, call);
}

/** What had died and was started again before this process began, in words. */
export const rootlessMended = (): OwnSession['mended'] => ownSession()?.mended ?? [];
