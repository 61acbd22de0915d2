import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { DebianToolProvider } from '../../src/host/debian/tools.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { IptablesFirewall, iptablesCapabilities } from '../../src/plugins/iptables/firewall.js';
import { firewallContract } from '../../src/testing/index.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

for (const variant of ['nft', 'legacy'] as const) {
  describe(`iptables-${variant}`, () => {
    let namespace: TestNamespace;
    let refuseNext = false;
    const real = new DebianToolProvider({ cacheDir: '/nonexistent' });
    const tools: ToolProvider = {
      async locate(name, options) {
        const tool = await real.locate(name, options);
        if (!refuseNext || !name.endsWith('restore')) return tool;
        refuseNext = false;
        return { ...tool, path: '/bin/false' };
      },
    };
    const programs = ['iptables', 'ip6tables'].map((name) => `/usr/sbin/${name}-${variant}`);

    before(function () {
      const reason =
        TestNamespace.unavailable() ?? (programs.every(existsSync) ? undefined : `${programs[0]} is not installed`);
      requireOrSkip(this, reason === undefined, reason ?? '');
      namespace = new TestNamespace();
    });
    after(() => namespace?.delete());

    const iptables = (...args: string[]) =>
      execFileSync('ip', ['netns', 'exec', namespace.name, `iptables-${variant}`, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    const saved = (family: '' | '6') =>
      namespace
        .exec(`ip${family}tables-${variant}-save`)
        .split('\n')
        .filter((line) => /^(-A|:HYPER)/.test(line))
        .map((line) => line.replace(/\[\d+:\d+\]/, ''));
    const words = (line: string) =>
      [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const forward = () => saved('').filter((line) => line.startsWith('-A FORWARD') && line.includes('hyperplug'));

    firewallContract({
      runner: { describe, it, before, after, beforeEach, afterEach },
      label: `iptables-${variant}`,
      capabilities: iptablesCapabilities,
      create: async () => new IptablesFirewall({ variant, netns: namespace.path }, tools),
      dispose: () => {
        for (const family of ['iptables', 'ip6tables']) {
          for (const table of ['nat', 'filter']) {
            namespace.exec(`${family}-${variant}`, '-t', table, '-F');
            namespace.exec(`${family}-${variant}`, '-t', table, '-X');
          }
        }
      },
      rules: () => [...saved(''), ...saved('6')],
      tamper: {
        removeOne: () => void iptables('-D', ...words(forward()[1] ?? '').slice(1)),
        duplicateOne: () => void iptables('-A', ...words(forward()[0] ?? '').slice(1)),
        flush() {
          for (const table of ['nat', 'filter']) {
            iptables('-t', table, '-F');
            namespace.exec(`ip6tables-${variant}`, '-t', table, '-F');
          }
        },
        addForeign: () =>
          void iptables(
            '-A',
            'FORWARD',
            '-i',
            'gone0',
            '-m',
            'comment',
            '--comment',
            'hyperplug forgotten outgoing',
            '-j',
            'ACCEPT',
          ),
        addOthers() {
          const rule = ['FORWARD', '-s', '10.99.0.0/16', '-j', 'ACCEPT'];
          iptables('-I', ...rule);
          return () => void iptables('-D', ...rule);
        },
      },
      inject: {
        refuse: () => {
          refuseNext = true;
        },
      },
    });
  });
}
