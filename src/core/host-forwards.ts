import type { CallOptions } from './calls.js';
import type { PortMapping } from './network.js';

/**
 * The way from the host's ports into a network namespace of the user's own, where a network backend works without root.
 * Bound by the composition root in such a namespace only; there "host" means the namespace, and this is how it meets the
 * real one.
 */
export interface HostForwards {
  /** Name servers that answer in there. */
  readonly nameServers: readonly string[];
  /** Of the way out, which may be gone for a while. */
  readonly mtu: number;
  /** Before a mapping is made. @throws NOT_SUPPORTED it cannot be forwarded; NET_PORT_IN_USE another has a port of it. */
  check(mapping: PortMapping): void;
  /** A mapping as it is in the namespace, of one that was refused, too: what is recorded can always be taken away. */
  inside(mapping: PortMapping): PortMapping;
  /** The other way; as it is where nothing is forwarded to it. */
  outside(mapping: PortMapping): PortMapping;
  /**
   * All or none; those that are there stay. To be called when the namespace has the ports.
   * @throws NET_PORT_IN_USE, HOST_PERMISSION, NET_SPEC_INVALID (no address of the host).
   */
  add(mappings: readonly PortMapping[], call: CallOptions): Promise<void>;
  /** Idempotent. */
  remove(mappings: readonly PortMapping[], call: CallOptions): Promise<void>;
  /** What differs from how it should be, in words. */
  drift(call: CallOptions): Promise<readonly string[]>;
}
