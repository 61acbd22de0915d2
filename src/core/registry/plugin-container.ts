import 'reflect-metadata';
import { Container, ContainerModule, type ServiceIdentifier } from 'inversify';
import { raceSignal, withDeadline } from '../calls.js';
import { HyperplugError, isHyperplugError } from '../errors.js';
import { HOST_TOKENS, type PluginKind, type PluginKinds, type PluginRegistration, TOKENS } from '../plugin.js';
import { identityOf, pluginError, pluginLabel } from './plugin-error.js';
import type { KnownPlugin, SelectedPlugins } from './registry.js';
import { serviceProblems } from './service-methods.js';

export type Services = { readonly [K in PluginKind]: PluginKinds[K]['service'] };

/** A service of the composition root: one of HOST_TOKENS, or any other that plugins inject. */
export interface HostBinding {
  readonly token: ServiceIdentifier<unknown>;
  readonly value: unknown;
}

export interface ResolveOptions {
  /** In start order. */
  readonly kinds: readonly PluginKind[];
  readonly bindings: readonly HostBinding[];
  /** For the factories of one plugin. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Binds the selected plugins into a container and makes their services, in start order; starts none of them.
 * @throws PLUGIN_INVALID a plugin binds something else than its one token in singleton scope, or its service is not what
 * the contract asks; PLUGIN_START_FAILED register() or a factory threw; TIMEOUT a factory does not end; ABORTED.
 */
export async function resolveServices(selected: SelectedPlugins, options: ResolveOptions): Promise<Services> {
  const container = new Container();
  for (const { token, value } of options.bindings) container.bind(token).toConstantValue(value);
  for (const kind of options.kinds) {
    container.load(new ContainerModule(({ bind }) => runRegister(selected[kind], bind)));
  }
  const services: Partial<Record<PluginKind, unknown>> = {};
  for (const kind of options.kinds) services[kind] = await resolveOne(container, selected[kind], options);
  return Object.freeze(services) as Services;
}

function runRegister(known: KnownPlugin & { readonly options: unknown }, bind: PluginRegistration['bind']): void {
  const own = TOKENS[known.plugin.kind] as ServiceIdentifier<unknown>;
  const foreign = new Set<unknown>([...Object.values(TOKENS), ...Object.values(HOST_TOKENS)]);
  foreign.delete(own);
  let bound = 0;
  const guarded = ((token: ServiceIdentifier<unknown>) => {
    if (foreign.has(token)) {
      const expected = `to bind ${String(own)} and the plugin's private identifiers only`;
      throw pluginError('PLUGIN_INVALID', identityOf(known), { field: 'register', expected, received: String(token) });
    }
    if (token === own) bound += 1;
    return bind(token);
  }) as PluginRegistration['bind'];
  let returned: unknown;
  try {
    returned = known.plugin.register({ bind: guarded }, known.options) as unknown;
  } catch (cause) {
    if (isHyperplugError(cause)) throw cause;
    throw startFailure(known, 'register() threw', cause);
  }
  if (returned instanceof Promise) {
    returned.catch(() => {}); // It is refused below, whatever becomes of it.
    const expected = 'a synchronous function (factories may be asynchronous)';
    throw pluginError('PLUGIN_INVALID', identityOf(known), { field: 'register', expected, received: 'a promise' });
  }
  if (bound !== 1) {
    const problem = { field: 'register', expected: `to bind ${String(own)} once`, received: bound };
    throw pluginError('PLUGIN_INVALID', identityOf(known), { ...problem, got: `${bound} bindings` });
  }
}

async function resolveOne(container: Container, known: KnownPlugin, options: ResolveOptions): Promise<unknown> {
  const token = TOKENS[known.plugin.kind] as ServiceIdentifier<unknown>;
  const what = `${pluginLabel(identityOf(known))}: making its service`;
  let service: unknown;
  let again: unknown;
  try {
    [service, again] = await withDeadline(what, options.timeoutMs, options.signal, ({ signal }) =>
      raceSignal(twice(container, token), signal, what),
    );
  } catch (cause) {
    if (isHyperplugError(cause) && (cause.code === 'TIMEOUT' || cause.code === 'ABORTED')) throw cause;
    throw startFailure(known, 'making its service failed', cause);
  }
  if (service !== again) {
    const expected = `${String(token)} bound in singleton scope`;
    const got = 'a new service for each request';
    throw pluginError('PLUGIN_INVALID', identityOf(known), { field: 'register', expected, received: got, got });
  }
  const [first, ...rest] = serviceProblems(known.plugin, service);
  if (first) throw pluginError('PLUGIN_INVALID', identityOf(known), [first, ...rest]);
  return service;
}

async function twice(container: Container, token: ServiceIdentifier<unknown>): Promise<[unknown, unknown]> {
  return [await container.getAsync(token), await container.getAsync(token)];
}

/** PLUGIN_START_FAILED that names the plugin; the reason is its cause. */
export function startFailure(known: KnownPlugin, what: string, cause: unknown): HyperplugError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HyperplugError('PLUGIN_START_FAILED', `${pluginLabel(identityOf(known))}: ${what}: ${reason}`, {
    cause,
    details: { plugin: known.plugin.name, kind: known.plugin.kind, source: known.source, reason },
  });
}
