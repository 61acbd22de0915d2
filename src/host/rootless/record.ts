import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { PortMapping } from '../../core/network.js';

const identity = z.object({ pid: z.int().positive(), startTime: z.int(), bootId: z.string() });

const record = z.object({
  version: z.literal(1),
  /** Unlike the number of the namespace, no other session's ever. */
  id: z.string(),
  /** What /proc/PID/ns/net says of each process in it: `net:[4026532534]`. */
  netns: z.string().regex(/^net:\[\d+\]$/),
  /** It does nothing but be there: as long as it lives, so do the namespaces. */
  holder: identity,
  /** The way out. null: it is not there yet. */
  slirp: identity.nullable(),
  /** Of slirp4netns: second address its gateway, third its name server, the hundredth the namespace. */
  cidr: z.string(),
  mtu: z.int(),
  hostLoopback: z.boolean(),
  /** Stays when nothing runs in it: networks were made to stay. */
  pinned: z.boolean(),
  /** They have let go of it, and are in its namespace until they have ended. */
  leaving: z.array(identity).default([]),
});

/** The namespaces of one runtime directory's rootless networks. */
export type SessionRecord = z.output<typeof record>;

const mapping = z.object({
  protocol: z.enum(['tcp', 'udp']),
  hostAddress: z.string(),
  hostPort: z.int(),
  guestPort: z.int(),
  count: z.int().positive(),
  guestCount: z.int().min(2).optional(),
});

/** Files of a session, all in one directory. */
export class SessionFiles {
  constructor(readonly directory: string) {}

  static of(runtimeDirectory: string): SessionFiles {
    return new SessionFiles(join(runtimeDirectory, 'rootless'));
  }

  /** Held while the session is made, changed or ended. */
  get changeLock(): string {
    return this.#path('change.lock');
  }

  /** Held shared by each process that uses it. */
  get useLock(): string {
    return this.#path('use.lock');
  }

  /** The holder waits for somebody to write to it, which nobody does. */
  get fifo(): string {
    return this.#path('hold');
  }

  get apiSocket(): string {
    return this.#path('slirp.sock');
  }

  get slirpLog(): string {
    return this.#path('slirp4netns.log');
  }

  /** Of iptables: root's is in /run, which is not ours. */
  get xtablesLock(): string {
    return this.#path('xtables.lock');
  }

  make(): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
  }

  /** undefined: there is none, or none that can be read. */
  read(): SessionRecord | undefined {
    return record.safeParse(this.#json('session.json')).data;
  }

  write(value: SessionRecord): void {
    this.#replace('session.json', value);
  }

  /** Forwarded ports, as they are asked for outside. */
  forwards(): readonly PortMapping[] {
    return z.array(mapping).safeParse(this.#json('forwards.json')).data ?? [];
  }

  writeForwards(value: readonly PortMapping[]): void {
    this.#replace('forwards.json', value);
  }

  #path(name: string): string {
    return join(this.directory, name);
  }

  #json(name: string): unknown {
    try {
      return JSON.parse(readFileSync(this.#path(name), 'utf8'));
    } catch {
      return undefined;
    }
  }

  #replace(name: string, value: unknown): void {
    const fresh = this.#path(`${name}.new`);
    writeFileSync(fresh, `${JSON.stringify(value)}\n`, { mode: 0o600 });
    renameSync(fresh, this.#path(name));
  }
}
