import type { GuestNetwork, GuestNic, GuestNicConfig, GuestRoute } from '../../core/agent.js';
import type { CallOptions } from '../../core/calls.js';

/** The part of a session that differs most between an original agent and ours. */
export interface NetworkCommands {
  setupInterface(config: GuestNicConfig, options: CallOptions): Promise<GuestNic>;
  deleteInterface(nic: { readonly mac: string; readonly expectedName: string }, options: CallOptions): Promise<void>;
  addRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void>;
  removeRoutes(routes: readonly GuestRoute[], options: CallOptions): Promise<void>;
  readNetwork(options: CallOptions): Promise<GuestNetwork>;
}

/** Sends a command with a JSON payload and gives the ACK's payload. */
export type SendJson = (code: number, what: string, body: object, options: CallOptions) => Promise<Buffer>;
