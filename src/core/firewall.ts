import type { CallOptions } from './calls.js';
import type { Diagnosis } from './diagnosis.js';
import type { AllowList, PortMapping, TransportProtocol } from './network.js';

export interface FirewallCapabilities {
  readonly families: readonly (4 | 6)[];
  readonly protocols: readonly TransportProtocol[];
  /** Rules exist at all; false for the null firewall, which accepts every call and does nothing. */
  readonly enforces: boolean;
  readonly isolation: boolean;
  /** Published ports are reached from the host's own loopback, and from pods of the same network. */
  readonly localhost: boolean;
  readonly hairpin: boolean;
  readonly needsRoot: boolean;
  /** restrict() and its kin are there. undefined: false. */
  readonly restricts?: boolean;
  /** One port of the host may lead to several of the guest (`PortMapping.guestCount`). undefined: false. */
  readonly publishToAny?: boolean;
}

/** What the rules of one network are made from. */
export interface FirewallNetwork {
  readonly name: string;
  readonly bridge: string;
  readonly subnets: readonly string[];
  readonly isolated: boolean;
  readonly allow?: AllowList;
}

/** A published port of one NIC; `id` tells whose rules these are. */
export interface PublishedPort {
  /** `podId/nicId/protocol/hostAddress/hostPort`. */
  readonly id: string;
  readonly network: string;
  readonly mapping: PortMapping;
  readonly guestAddress: string;
}

/**
 * Who may reach an address of a NIC from outside its network (the original's portmappingWhiteLists of a pod): as AllowList
 * says. It only ever takes away: what the network itself does not let in stays out.
 */
export interface Restriction {
  /** `podId/nicId`; one for each family. */
  readonly id: string;
  readonly network: string;
  readonly guestAddress: string;
  readonly allow: AllowList;
}

/** What differs between the rules there are and those there should be. */
export interface FirewallDrift {
  /** `-`: of what all networks share. */
  readonly network: string;
  /** `missing`, `duplicate` or `foreign` (bears our mark, belongs to nothing known). */
  readonly kind: 'missing' | 'duplicate' | 'foreign';
  /** The rule in the firewall's own notation. */
  readonly rule: string;
}

/** What a firewall plugin implements. Idempotent throughout; rules of others are never touched. */
export interface Firewall {
  readonly name: string;
  readonly capabilities: FirewallCapabilities;
  /** Of the network namespace that its rules stand in, undefined: this process's. Missing: it cannot tell. */
  readonly netnsPath?: string | undefined;
  start?(options: CallOptions): Promise<void>;
  stop?(options: CallOptions): Promise<void>;
  /**
   * Tells the firewall all its networks, and the ports that are published on them and the restrictions (undefined: as it
   * knows them), and makes nothing: check() and repair() know these then, and no others.
   */
  configure?(
    networks: readonly FirewallNetwork[],
    ports?: readonly PublishedPort[],
    restrictions?: readonly Restriction[],
  ): void;
  /** All of a network's rules, each exactly once, in order, in one transaction. @throws FIREWALL_FAILED: nothing changed. */
  ensureNetwork(network: FirewallNetwork, options: CallOptions): Promise<void>;
  /** Removes all rules of the network and of its ports. */
  removeNetwork(name: string, options: CallOptions): Promise<void>;
  /** All or none of them. @throws FIREWALL_FAILED, NOT_SUPPORTED. */
  publish(ports: readonly PublishedPort[], options: CallOptions): Promise<void>;
  unpublish(ids: readonly string[], options: CallOptions): Promise<void>;
  /** The ports published now, as read from the rules. */
  published(options: CallOptions): Promise<readonly PublishedPort[]>;
  /** With `restricts`: all or none of them; one of the same id and family is replaced. @throws FIREWALL_FAILED. */
  restrict?(restrictions: readonly Restriction[], options: CallOptions): Promise<void>;
  unrestrict?(ids: readonly string[], options: CallOptions): Promise<void>;
  /** As read from the rules. */
  restricted?(options: CallOptions): Promise<readonly Restriction[]>;
  check(options: CallOptions): Promise<readonly FirewallDrift[]>;
  /** Puts back what check() finds missing, removes what is twice or foreign. */
  repair(options: CallOptions): Promise<void>;
  diagnose?(options: CallOptions): Promise<readonly Diagnosis[]>;
}
