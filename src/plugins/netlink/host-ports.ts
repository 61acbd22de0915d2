import { closeSync } from 'node:fs';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { PublishedPort } from '../../core/firewall.js';
import type { PortMapping } from '../../core/network.js';
import { findPortHolder } from '../../host/port-holder.js';
import { bindPorts, type LocalPort } from './bound-socket.js';

/**
 * Host ports of published mappings, held by sockets of this process so that no other program takes them. They are held
 * for as long as this process has the NIC; the rules of a pod that outlives it do without.
 */
export class HostPorts {
  readonly #held = new Map<string, readonly number[]>();

  constructor(private readonly netns: string | undefined) {}

  /**
   * All or none. Those that are held under the same id are left as they are.
   * @param published what the rules say, to tell whose a taken port is.
   * @returns the ids that were reserved now.
   * @throws NET_PORT_IN_USE, NET_SPEC_INVALID (no address of this host), HOST_PERMISSION.
   */
  async reserve(
    ports: readonly PublishedPort[],
    published: () => Promise<readonly PublishedPort[]>,
  ): Promise<readonly string[]> {
    const done: string[] = [];
    for (const { id, mapping } of ports) {
      if (this.#held.has(id)) continue;
      const outcome = bindPorts(localPorts(mapping), this.netns);
      if ('fds' in outcome) {
        this.#held.set(id, outcome.fds);
        done.push(id);
        continue;
      }
      this.release(done);
      throw await this.#refusal(outcome.port, outcome.refused, published);
    }
    return done;
  }

  release(ids: readonly string[]): void {
    for (const id of ids) {
      const fds = this.#held.get(id) ?? [];
      this.#held.delete(id);
      for (const fd of fds) closeSync(fd);
    }
  }

  has(prefix: string): boolean {
    return [...this.#held.keys()].some((id) => id.startsWith(prefix));
  }

  /** Those of one NIC. */
  releaseOf(podId: string, nicId: string): void {
    this.release([...this.#held.keys()].filter((id) => id.startsWith(`${podId}/${nicId}/`)));
  }

  releaseAll(): void {
    this.release([...this.#held.keys()]);
  }

  async #refusal(port: LocalPort, refused: string, published: () => Promise<readonly PublishedPort[]>): Promise<Error> {
    const what = `${port.port}/${port.protocol} of ${port.hostAddress}`;
    const details = { field: 'hostPort', received: port.port, ...port };
    if (refused === 'no-such-address') {
      return fieldError('NET_SPEC_INVALID', 'hostAddress', 'an address of this host', port.hostAddress);
    }
    if (refused !== 'in-use') {
      return new HyperplugError('HOST_PERMISSION', `port ${what} cannot be reserved: ${refused}`, { details });
    }
    const other = (await published()).find(({ mapping }) => includes(mapping, port));
    const [podId, nicId] = other?.id.split('/') ?? [];
    return new HyperplugError(
      'NET_PORT_IN_USE',
      `hostPort: port ${what} is in use by ${await this.#holder(port, podId, nicId)}`,
      {
        details: { ...details, ...(podId && { pod: podId, nic: nicId }) },
      },
    );
  }

  async #holder({ protocol, port }: LocalPort, podId: string | undefined, nicId: string | undefined): Promise<string> {
    if (podId) return `pod ${podId} (NIC ${nicId})`;
    // /proc tells of this process's namespace only.
    const holder = this.netns === undefined && protocol !== 'sctp' ? await findPortHolder(protocol, port) : undefined;
    return holder ? `process ${holder.pid} (${holder.name})` : 'another program';
  }
}

const localPorts = ({ protocol, hostAddress, hostPort, count }: PortMapping): LocalPort[] =>
  Array.from({ length: count }, (_, offset) => ({ protocol, hostAddress, port: hostPort + offset }));

function includes(mapping: PortMapping, { protocol, hostAddress, port }: LocalPort): boolean {
  const any = (address: string) => address === '0.0.0.0' || address === '::';
  return (
    mapping.protocol === protocol &&
    port >= mapping.hostPort &&
    port < mapping.hostPort + mapping.count &&
    mapping.hostAddress.includes(':') === hostAddress.includes(':') &&
    (mapping.hostAddress === hostAddress || any(mapping.hostAddress) || any(hostAddress))
  );
}
