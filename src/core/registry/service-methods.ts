import { isDeepStrictEqual } from 'node:util';
import type { Plugin, PluginKind, PluginKinds } from '../plugin.js';
import type { FieldProblem } from './plugin-error.js';

/** The names of the methods that a service of kind K has, required ones and optional ones apart. */
type Methods<S> = { [M in keyof S as NonNullable<S[M]> extends (...args: never[]) => unknown ? M : never]: S[M] };
type Requirement<S> = {
  [M in keyof Methods<S>]-?: undefined extends Methods<S>[M] ? 'optional' : 'required';
};

/** The compiler holds this equal to the contracts: a method that is missing here, or is too much, does not compile. */
const SERVICE_METHODS: { readonly [K in PluginKind]: Requirement<PluginKinds[K]['service']> } = {
  hypervisor: {
    start: 'optional',
    stop: 'optional',
    initNetwork: 'optional',
    launch: 'required',
    adopt: 'required',
    destroy: 'required',
    reap: 'optional',
    traces: 'optional',
    diagnose: 'optional',
    templateKey: 'optional',
  },
  network: {
    start: 'optional',
    stop: 'optional',
    configure: 'optional',
    init: 'required',
    allocateAddress: 'required',
    adoptLease: 'optional',
    releaseAddress: 'required',
    attach: 'required',
    detach: 'required',
    publish: 'optional',
    unpublish: 'optional',
    forwards: 'optional',
    setMtu: 'optional',
    counters: 'optional',
    status: 'required',
    repair: 'optional',
    traces: 'optional',
    teardown: 'required',
    diagnose: 'optional',
  },
  firewall: {
    start: 'optional',
    stop: 'optional',
    configure: 'optional',
    ensureNetwork: 'required',
    removeNetwork: 'required',
    publish: 'required',
    unpublish: 'required',
    published: 'required',
    restrict: 'optional',
    unrestrict: 'optional',
    restricted: 'optional',
    check: 'required',
    repair: 'required',
    diagnose: 'optional',
  },
  agent: { start: 'optional', stop: 'optional', connect: 'required' },
  'address-pool': {
    start: 'optional',
    stop: 'optional',
    register: 'required',
    unregister: 'required',
    request: 'required',
    release: 'required',
    releaseOwner: 'required',
    list: 'required',
    all: 'optional',
    usage: 'required',
  },
  state: {
    start: 'optional',
    serve: 'optional',
    stop: 'optional',
    get: 'required',
    list: 'required',
    unreadable: 'required',
    transaction: 'required',
  },
};

/** Methods that a capability makes required. */
const CAPABILITY_OF: Readonly<Record<string, string | undefined>> = {
  initNetwork: 'builtinNetwork',
  publish: 'livePublish',
  unpublish: 'livePublish',
};

/** What is wrong with the object that a plugin bound as its service: contract methods, name and capabilities. */
export function serviceProblems(plugin: Plugin, service: unknown): FieldProblem[] {
  if (typeof service !== 'object' || service === null) {
    return [{ field: 'service', expected: 'an object', received: service }];
  }
  const members = service as Record<string, unknown>;
  const problems: FieldProblem[] = [];
  for (const [method, need] of Object.entries(SERVICE_METHODS[plugin.kind])) {
    const capability = CAPABILITY_OF[method];
    const declared =
      capability !== undefined &&
      (plugin.capabilities as unknown as Readonly<Record<string, unknown>>)[capability] === true;
    if (typeof members[method] === 'function') continue;
    if (need === 'optional' && members[method] === undefined && !declared) continue;
    const why = declared ? `, as capabilities.${capability} is true` : '';
    problems.push({ field: `service.${method}`, expected: `a function${why}`, received: members[method] });
  }
  if (members.name !== plugin.name) {
    problems.push({ field: 'service.name', expected: JSON.stringify(plugin.name), received: members.name });
  }
  if (!isDeepStrictEqual(members.capabilities, plugin.capabilities)) {
    const field = 'service.capabilities';
    problems.push({ field, expected: "exactly the plugin's capabilities", received: members.capabilities });
  }
  return problems;
}
