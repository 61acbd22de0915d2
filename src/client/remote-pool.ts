import type { UserCallOptions } from '../core/calls.js';
import type { Pool, PoolStatus } from '../core/template/types.js';
import { only } from './remote-pods.js';
import type { Transport } from './transport.js';

/** It may make an image and a template first; the daemon has deadlines of its own. */
const FILL_TIMEOUT_MS = 40 * 60_000;

/** The daemon's pool. */
export class RemotePool implements Pool {
  constructor(private readonly transport: Transport) {}

  status(options: UserCallOptions = {}): Promise<PoolStatus> {
    return this.transport.json('GET', '/v1/pool', only(options));
  }
  fill(options: UserCallOptions & { readonly size?: number } = {}): Promise<PoolStatus> {
    const { size } = options;
    const call = { timeoutMs: FILL_TIMEOUT_MS, ...only(options), query: { size } };
    return this.transport.json('POST', '/v1/pool/fill', call);
  }
  drain(options: UserCallOptions = {}): Promise<PoolStatus> {
    return this.transport.json('POST', '/v1/pool/drain', only(options));
  }
}
