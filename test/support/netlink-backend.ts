import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressPool } from '../../src/core/address-pool.js';
import type { Firewall } from '../../src/core/firewall.js';
import type { NetworkSpec } from '../../src/core/network.js';
import { DebianToolProvider } from '../../src/host/debian/tools.js';
import { inNetworkNamespace } from '../../src/host/netns.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { IptablesFirewall } from '../../src/plugins/iptables/firewall.js';
import { LocalAddressPool } from '../../src/plugins/local/address-pool.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';
import { NetlinkBackend } from '../../src/plugins/netlink/backend.js';
import { bindPorts } from '../../src/plugins/netlink/bound-socket.js';
import { type NetlinkOptions, netlinkOptions } from '../../src/plugins/netlink/options.js';
import type { HeldPort } from '../../src/testing/kit/ports.js';
import type { TestNamespace } from './netns.js';

export const tools: ToolProvider = new DebianToolProvider({ cacheDir: '/nonexistent' });

export const callFor = (milliseconds = 60_000) => ({ signal: AbortSignal.timeout(milliseconds) });

export function networkSpec(parts: Partial<NetworkSpec> = {}): NetworkSpec {
  return { name: 'default', subnets: ['192.168.123.0/24'], mtu: null, isolated: false, dns: [], ...parts };
}

export interface BackendParts {
  /** undefined: the process's own. */
  readonly namespace: { readonly path: string | undefined };
  /** For state and locks. */
  readonly directory: string;
  readonly firewall?: Firewall;
  readonly options?: Partial<NetlinkOptions>;
  /** Of the real ones; default: as they are. */
  readonly tools?: (real: ToolProvider) => ToolProvider;
}

export interface Bench {
  readonly backend: NetlinkBackend;
  readonly firewall: Firewall;
  readonly pool: AddressPool;
  stop(): Promise<void>;
}

/** A backend in a namespace, started, with the local pool. */
export async function startBackend({
  namespace,
  directory,
  firewall,
  options,
  tools: choose,
}: BackendParts): Promise<Bench> {
  const state = new LocalStateStore(`${directory}/state.mdb`);
  const pool = new LocalAddressPool(state);
  const rules = firewall ?? new IptablesFirewall({ variant: 'auto', netns: namespace.path }, tools);
  const full = netlinkOptions.parse({ netns: namespace.path, ...options });
  const provider = choose?.(tools) ?? tools;
  const backend = new NetlinkBackend(full, { firewall: rules, pool, runtimeDir: directory, tools: provider });
  await backend.start();
  return {
    backend,
    firewall: rules,
    pool,
    async stop() {
      await backend.stop();
      await state.stop();
    },
  };
}

/** A TCP port of the loopback of a namespace. */
export async function holdPortIn(namespace: TestNamespace, port?: number): Promise<HeldPort> {
  if (port === undefined) {
    const server = await new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
      const made = createServer();
      made.once('error', reject);
      made.listen({ port: 0, host: '127.0.0.1' }, () => resolve(made));
    });
    const address = server.address();
    const number = typeof address === 'object' && address ? address.port : 0;
    await new Promise((resolve) => server.close(resolve));
    return holdPortIn(namespace, number);
  }
  const outcome = bindPorts([{ protocol: 'tcp', hostAddress: '127.0.0.1', port }], namespace.path);
  if (!('fds' in outcome)) throw new Error(`port ${port}: ${outcome.refused}`);
  let open = true;
  return {
    port,
    async close() {
      if (open) for (const fd of outcome.fds) closeSync(fd);
      open = false;
    },
  };
}

/** `iptables-save` and `ip6tables-save` of a namespace: without counters, comments and what is empty. */
export function savedRules(namespace: TestNamespace): string[] {
  return namespace
    .savedRules()
    .split('\n')
    .filter((line) => /^(-A|:HYPER)/.test(line))
    .map((line) => line.replace(/\[\d+:\d+\]/, ''));
}

/** Links that are not the kernel's own. */
export const madeLinks = (namespace: TestNamespace): string[] => namespace.links().filter((name) => name !== 'lo');

/** What /proc/net/tcp of a namespace has in LISTEN. */
export function listeningPorts(namespace: TestNamespace): number[] {
  return inNetworkNamespace(namespace.path, () => readFileSync('/proc/thread-self/net/tcp', 'latin1'))
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === '0A')
    .map(([, local]) => Number.parseInt(local?.split(':')[1] ?? '', 16));
}

/** Of this process: taps and lock files. Of others (pipes of children that just ended, Node's own) some close a little later. */
export const openDescriptors = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^\/dev\/(net\/tun|tap)|\.lock$/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  }).length;
