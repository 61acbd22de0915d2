import { connect } from 'node:net';
import { abortError, type CallOptions } from '../core/calls.js';
import { HyperplugError } from '../core/errors.js';
import type { PortForward } from '../core/hypervisor.js';

const MAX_ANSWER_BYTES = 1 << 20;

/**
 * One request of slirp4netns(1), "API SOCKET": a connection each, one JSON object there and one back.
 * undefined: nobody listens there.
 * @throws HOST_COMMAND_FAILED with slirp4netns's words, TIMEOUT, ABORTED.
 */
async function request(
  path: string,
  execute: string,
  parameters: object,
  { signal }: CallOptions,
): Promise<unknown | undefined> {
  const socket = connect({ path });
  const onAbort = () => socket.destroy(abortError(signal, `slirp4netns ${execute}`));
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    socket.end(JSON.stringify({ execute, arguments: parameters }));
    let text = '';
    for await (const chunk of socket) {
      text += chunk;
      if (text.length > MAX_ANSWER_BYTES)
        throw new HyperplugError('HOST_COMMAND_FAILED', 'slirp4netns: endless answer');
    }
    const answer = JSON.parse(text) as { readonly error?: { readonly desc?: unknown } };
    if (answer.error === undefined) return answer;
    const words = String(answer.error.desc ?? 'no reason given');
    throw new HyperplugError('HOST_COMMAND_FAILED', `slirp4netns ${execute}: ${words}`, { details: { words } });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    if (error instanceof SyntaxError || code === 'ECONNRESET' || code === 'EPIPE') {
      throw new HyperplugError('HOST_COMMAND_FAILED', `slirp4netns ${execute}: no answer`, { cause: error });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

const isListed = (value: unknown): value is { readonly entries: readonly Record<string, unknown>[] } =>
  typeof value === 'object' && value !== null && Array.isArray((value as { entries?: unknown }).entries);

export interface ListedForward {
  readonly id: unknown;
  readonly protocol: unknown;
  readonly hostAddress: unknown;
  readonly hostPort: unknown;
}

/** The forwards of one slirp4netns, by its API socket. */
export class SlirpApi {
  constructor(private readonly path: string) {}

  /** False: it does not answer yet, since UML has not connected. */
  async answers(call: CallOptions): Promise<boolean> {
    return (await request(this.path, 'list_hostfwd', {}, call)) !== undefined;
  }

  /** False as above. @throws HOST_COMMAND_FAILED: it could not listen. */
  async add(forward: PortForward, call: CallOptions): Promise<boolean> {
    const { protocol: proto, hostAddress: host_addr, hostPort: host_port } = forward;
    const { guestAddress: guest_addr, guestPort: guest_port } = forward;
    const parameters = { proto, host_addr, host_port, guest_addr, guest_port };
    return (await request(this.path, 'add_hostfwd', parameters, call)) !== undefined;
  }

  /** One that is not there is no error. */
  async remove({ protocol, hostAddress, hostPort }: PortForward, call: CallOptions): Promise<void> {
    for (const { id, ...each } of await this.list(call)) {
      if (each.protocol !== protocol || each.hostAddress !== hostAddress || each.hostPort !== hostPort) continue;
      await request(this.path, 'remove_hostfwd', { id }, call);
    }
  }

  /** None where nobody answers. */
  async list(call: CallOptions): Promise<readonly ListedForward[]> {
    const listed = await request(this.path, 'list_hostfwd', {}, call);
    if (!isListed(listed)) return [];
    return listed.entries.map(({ id, proto, host_addr, host_port }) => ({
      id,
      protocol: proto,
      hostAddress: host_addr,
      hostPort: host_port,
    }));
  }
}
