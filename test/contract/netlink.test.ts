import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Firewall } from '../../src/core/firewall.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { IptablesFirewall } from '../../src/plugins/iptables/firewall.js';
import type { NetlinkBackend } from '../../src/plugins/netlink/backend.js';
import { netlinkCapabilities } from '../../src/plugins/netlink/capabilities.js';
import { NoFirewall } from '../../src/plugins/none-firewall/index.js';
import { networkContract } from '../../src/testing/index.js';
import {
  type Bench,
  holdPortIn,
  madeLinks,
  networkSpec,
  savedRules,
  startBackend,
  tools,
} from '../support/netlink-backend.js';
import { TestNamespace } from '../support/netns.js';
import { refuseNftCommits } from '../support/nft-refusal.js';
import { requireOrSkip } from '../support/require.js';

for (const kind of ['iptables', 'none'] as const) {
  describe(`netlink with firewall ${kind}`, function () {
    this.timeout(60_000);
    let namespace: TestNamespace;
    let directory: string;
    const benches = new Map<NetlinkBackend, Bench>();
    let refuse: (() => void) | undefined;
    let broken = false;
    /** Nothing was left by the last test. */
    let clean = false;
    let undoRefusal: (() => void) | undefined;

    before(function () {
      const reason = TestNamespace.unavailable();
      requireOrSkip(this, reason === undefined, reason ?? '');
      undoRefusal = refuseNftCommits(() => broken);
      namespace = new TestNamespace();
      directory = mkdtempSync(join(tmpdir(), 'hyperplug-test-'));
    });
    after(() => {
      undoRefusal?.();
      namespace?.delete();
      if (directory) rmSync(directory, { recursive: true, force: true });
    });

    /** Its next restore fails once `refuse` was called. */
    const breakable = (): Firewall => {
      const provider: ToolProvider = {
        async locate(name, options) {
          const tool = await tools.locate(name, options);
          if (!broken || !name.endsWith('restore')) return tool;
          broken = false;
          return { ...tool, path: '/bin/false' };
        },
      };
      refuse = () => {
        broken = true;
      };
      return new IptablesFirewall({ variant: 'auto', netns: namespace.path }, provider);
    };

    networkContract({
      runner: { describe, it, before, after, beforeEach, afterEach },
      label: `netlink, firewall ${kind}`,
      capabilities: netlinkCapabilities,
      networks: [
        networkSpec({ name: 'contract', subnets: ['10.213.1.0/24', 'fd00:213:1::/64'] }),
        networkSpec({ name: 'contract-2', subnets: ['10.213.2.0/24'], isolated: kind === 'iptables' }),
      ],
      async create() {
        const firewall = kind === 'iptables' ? breakable() : new NoFirewall();
        const bench = await startBackend({ namespace, directory, firewall });
        benches.set(bench.backend, bench);
        return bench.backend;
      },
      async dispose(backend) {
        await benches.get(backend as NetlinkBackend)?.stop();
        benches.delete(backend as NetlinkBackend);
      },
      host: {
        leftovers() {
          clean = false;
          const left = [...madeLinks(namespace), ...savedRules(namespace)];
          clean = left.length === 0;
          return left;
        },
        nicLeftovers: () => [...madeLinks(namespace), ...savedRules(namespace)],
        reap() {
          if (clean) return;
          for (const name of madeLinks(namespace)) namespace.ip('link', 'delete', name);
          namespace.flushRules();
        },
      },
      tamper: () => void namespace.ip('link', 'delete', 'hyper-contract'),
      ports: { hold: (port) => holdPortIn(namespace, port) },
      checksPorts: kind === 'iptables',
      ...(kind === 'iptables' && { inject: { init: () => refuse?.(), attach: () => refuse?.() } }),
    });
  });
}
