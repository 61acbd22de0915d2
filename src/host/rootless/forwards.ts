import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import type { CallOptions } from '../../core/calls.js';
import { combineErrors, fieldError, HyperplugError, hasCode } from '../../core/errors.js';
import type { HostForwards } from '../../core/host-forwards.js';
import type { PortForward } from '../../core/hypervisor.js';
import type { PortMapping } from '../../core/network.js';
import { hostPortsMeet } from '../../core/pod/ports.js';
import { socketInodes } from '../port-holder.js';
import { type ListedForward, SlirpApi } from '../slirp-api.js';
import { sessionDrift } from './look.js';
import type { SessionFiles, SessionRecord } from './record.js';

/** slirp4netns(1), --cidr: what has which address of the range. */
const NAME_SERVER = 3;
const NAMESPACE = 100;
const ANY = '0.0.0.0';
const LOOPBACK = /^127\./;
const PRIVILEGED_PORTS = 1024;

/**
 * Ports of the host, which slirp4netns listens on and leads to the same port of the namespace's address, where the rules
 * of the firewall take over. All host addresses come to that one, so a port is one pod's, whatever its address.
 */
export class SlirpForwards implements HostForwards {
  readonly #api: SlirpApi;

  constructor(
    private readonly files: SessionFiles,
    private readonly record: SessionRecord,
  ) {
    this.#api = new SlirpApi(files.apiSocket);
  }

  get nameServers(): readonly string[] {
    return [this.#address(NAME_SERVER)];
  }

  get mtu(): number {
    return this.record.mtu;
  }

  check(mapping: PortMapping): void {
    const { protocol, hostAddress } = mapping;
    if (protocol === 'sctp') {
      throw new HyperplugError('NOT_SUPPORTED', 'protocol: expected tcp or udp, got sctp: not in rootless networks');
    }
    if (isIPv6(hostAddress)) {
      const message = `hostAddress: expected an IPv4 address, got ${hostAddress}: rootless networks forward no other`;
      throw new HyperplugError('NOT_SUPPORTED', message);
    }
    // Answers of UDP go to an address; libslirp sends none to the loopback without this. Of TCP there is a connection.
    if (protocol === 'udp' && LOOPBACK.test(hostAddress) && !this.record.hostLoopback) {
      const message = `hostAddress: expected another than ${hostAddress} for udp, or rootless.hostLoopback: true: slirp4netns answers no client on the loopback without it`;
      throw new HyperplugError('NOT_SUPPORTED', message);
    }
    const other = this.files.forwards().find((each) => !same(each, mapping) && hostPortsMeet(each, mapping));
    if (!other) return;
    const message = `hostPort: port ${Math.max(other.hostPort, mapping.hostPort)}/${protocol} is published already, on ${other.hostAddress}: in rootless networks a port is one pod's, whatever the address`;
    throw new HyperplugError('NET_PORT_IN_USE', message, { details: { ...mapping, holder: other.hostAddress } });
  }

  inside(mapping: PortMapping): PortMapping {
    return { ...mapping, hostAddress: ANY };
  }

  outside(mapping: PortMapping): PortMapping {
    const { protocol, hostPort } = mapping;
    const known = this.files.forwards().find((each) => each.protocol === protocol && each.hostPort === hostPort);
    return known ? { ...mapping, hostAddress: known.hostAddress } : mapping;
  }

  async add(mappings: readonly PortMapping[], call: CallOptions): Promise<void> {
    const fresh = mappings.filter((mapping) => !this.files.forwards().some((each) => same(each, mapping)));
    const done: PortForward[] = [];
    // Before they are made: who mends finds what there may be.
    this.files.writeForwards([...this.files.forwards(), ...fresh]);
    try {
      for (const forward of fresh.flatMap((mapping) => this.#forwardsOf(mapping))) {
        await this.#open(forward, call);
        done.push(forward);
      }
    } catch (error) {
      const errors: unknown[] = [error];
      for (const forward of done) {
        await this.#api.remove(forward, call).catch((another: unknown) => errors.push(another));
      }
      this.files.writeForwards(this.files.forwards().filter((each) => !fresh.some((mapping) => same(each, mapping))));
      throw combineErrors('POD_CLEANUP_FAILED', 'forwarded ports', errors);
    }
  }

  async remove(mappings: readonly PortMapping[], call: CallOptions): Promise<void> {
    for (const mapping of mappings) {
      for (const forward of this.#forwardsOf(mapping)) await this.#api.remove(forward, call);
    }
    this.files.writeForwards(this.files.forwards().filter((each) => !mappings.some((mapping) => same(each, mapping))));
  }

  async drift(call: CallOptions): Promise<readonly string[]> {
    const drift = await sessionDrift(this.files, call);
    if (drift.length > 0) return drift;
    const there = await this.#api.list(call);
    const missing = this.files
      .forwards()
      .flatMap((mapping) => this.#forwardsOf(mapping))
      .filter((forward) => !there.some((each) => sameForward(each, forward)));
    return missing.map(
      ({ protocol, hostAddress, hostPort }) =>
        `rootless: expected slirp4netns to forward ${hostAddress}:${hostPort}/${protocol}, it does not`,
    );
  }

  /** Makes all that are recorded, at a slirp4netns that has none. One that another program has by now stays missing. */
  async restore(call: CallOptions): Promise<void> {
    for (const forward of this.files.forwards().flatMap((mapping) => this.#forwardsOf(mapping))) {
      try {
        await this.#open(forward, call);
      } catch (error) {
        if (!hasCode(error, 'NET_PORT_IN_USE', 'NET_SPEC_INVALID', 'HOST_COMMAND_FAILED')) throw error;
      }
    }
  }

  async #open(forward: PortForward, call: CallOptions): Promise<void> {
    try {
      if (await this.#api.add(forward, call)) return;
    } catch (error) {
      // Its own words are of a refusal; without them it did not answer.
      if (!hasCode(error, 'HOST_COMMAND_FAILED') || error.details.words === undefined) throw error;
      throw this.#obstacle(forward, error);
    }
    const pid = this.record.slirp?.pid ?? 'none';
    throw new HyperplugError(
      'HOST_COMMAND_FAILED',
      `port ${forward.hostPort}: slirp4netns (process ${pid}) does not answer; hyperplug net repair starts it again`,
    );
  }

  /** slirp4netns does not say why. The host's ports are those of its namespace. */
  #obstacle({ protocol, hostAddress, hostPort }: PortForward, cause: Error): HyperplugError {
    const details = { protocol, hostAddress, hostPort };
    const tables = [protocol, `${protocol}6`].map((name) => this.#outsideTable(name));
    if (tables.some((table) => socketInodes(table, protocol, hostPort).length > 0)) {
      const message = `hostPort: port ${hostPort}/${protocol} of ${hostAddress} is in use by another program`;
      return new HyperplugError('NET_PORT_IN_USE', message, { cause, details });
    }
    if (hostPort < PRIVILEGED_PORTS) {
      const message = `hostPort: port ${hostPort}/${protocol} may not be opened by this user (net.ipv4.ip_unprivileged_port_start)`;
      return new HyperplugError('HOST_PERMISSION', message, { cause, details });
    }
    return fieldError('NET_SPEC_INVALID', 'hostAddress', 'an address of this host', hostAddress);
  }

  #outsideTable(name: string): string {
    try {
      return readFileSync(`/proc/${this.record.slirp?.pid}/net/${name}`, 'latin1');
    } catch {
      return '';
    }
  }

  #forwardsOf({ protocol, hostAddress, hostPort, count }: PortMapping): PortForward[] {
    if (protocol === 'sctp') return [];
    return Array.from({ length: count }, (_, offset) => ({
      protocol,
      hostAddress,
      hostPort: hostPort + offset,
      guestAddress: this.#address(NAMESPACE),
      guestPort: hostPort + offset,
    }));
  }

  #address(host: number): string {
    return this.record.cidr.replace(/\.\d+\/\d+$/, `.${host}`);
  }
}

const same = (a: PortMapping, b: PortMapping) =>
  a.protocol === b.protocol && a.hostAddress === b.hostAddress && a.hostPort === b.hostPort && a.count === b.count;

const sameForward = (a: ListedForward, b: PortForward) =>
  a.protocol === b.protocol && a.hostAddress === b.hostAddress && a.hostPort === b.hostPort;
