export { z } from 'zod';
export { type ConnectOptions, connectHyperplug, type DaemonVersion } from './client/index.js';
export type * from './core/address-pool.js';
export type * from './core/agent.js';
export {
  abortError,
  type CallOptions,
  raceSignal,
  throwIfAborted,
  type UserCallOptions,
  withDeadline,
} from './core/calls.js';
export type * from './core/container.js';
export { definePlugin } from './core/define-plugin.js';
export type * from './core/diagnosis.js';
export { ERROR_CODES, type ErrorCode } from './core/error-codes.js';
export { combineErrors, fieldError, HyperplugError, hasCode, isHyperplugError, shown } from './core/errors.js';
export type * from './core/firewall.js';
export type { GcAction, GcFinding, GcKind, GcReport } from './core/gc/types.js';
export type * from './core/guest-image.js';
export type * from './core/hypervisor.js';
export {
  formatAddress,
  parseAddress,
  parseRange,
  parseSubnet,
  type Subnet,
  subnetOf,
} from './core/ipam/index.js';
export { deepFreeze, type JsonValue } from './core/json.js';
export type * from './core/network.js';
export {
  HOST_TOKENS,
  PLUGIN_API_VERSION,
  PLUGIN_KINDS,
  type Plugin,
  type PluginKind,
  type PluginLogger,
  type PluginPaths,
  type PluginRegistration,
  TOKENS,
} from './core/plugin.js';
export { ExecError, isExecError } from './core/pod/exec/error.js';
export type { InterfaceInput, NicInput, PortInput } from './core/pod/interface-spec.js';
export type * from './core/pod/pods-api.js';
export type { PodSpecInput } from './core/pod/spec.js';
export type * from './core/pod/types.js';
export type * from './core/progress.js';
export { jsonText } from './core/state/json-text.js';
export { checkStateKey, checkStatePrefix, compareStateKeys, isBelow } from './core/state/keys.js';
export { runBody } from './core/state/transaction-body.js';
export type * from './core/state-store.js';
export { UndoStack } from './core/undo.js';
export { identifyProcess, killProcess, sameProcess, signalProcess, waitGone } from './host/process.js';
export { type CreateHyperplugOptions, createHyperplug } from './hyperplug.js';
