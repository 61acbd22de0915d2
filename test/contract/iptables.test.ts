import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { TransportProtocol } from '../../src/core/network.js';
import { DebianToolProvider } from '../../src/host/debian/tools.js';
import type { Attributes } from '../../src/host/netlink/codec/attributes.js';
import { CTNETLINK } from '../../src/host/netlink/codec/messages.js';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../src/host/netlink/socket.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { iptablesCapabilities } from '../../src/plugins/iptables/capabilities.js';
import { IptablesFirewall } from '../../src/plugins/iptables/firewall.js';
import { firewallContract } from '../../src/testing/index.js';
import { TestNamespace } from '../support/netns.js';
import { refuseNftCommits } from '../support/nft-refusal.js';
import { requireOrSkip } from '../support/require.js';

for (const variant of ['nft', 'legacy'] as const) {
  describe(`iptables-${variant}`, () => {
    let namespace: TestNamespace;
    let refuseNext = false;
    let undoRefusal: (() => void) | undefined;
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
      undoRefusal = refuseNftCommits(() => refuseNext);
      namespace = new TestNamespace();
      // Addresses of the host, and a way to wherever a mapping leads.
      for (const address of ['192.0.2.1/32', '192.0.2.2/32', 'fd00:213:99::1/128']) {
        namespace.ip('address', 'add', address, 'dev', 'lo');
      }
      namespace.ip('link', 'add', 'way0', 'arp', 'off', 'type', 'veth', 'peer', 'name', 'way1');
      for (const name of ['way0', 'way1']) namespace.ip('link', 'set', name, 'up');
      namespace.ip('route', 'add', 'default', 'dev', 'way0');
    });
    after(() => {
      undoRefusal?.();
      namespace?.delete();
    });

    const iptables = (...args: string[]) =>
      execFileSync('ip', ['netns', 'exec', namespace.name, `iptables-${variant}`, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    const ruleLines = (text: string) =>
      text
        .split('\n')
        .filter((line) => /^(-A|:HYPER)/.test(line))
        .map((line) => line.replace(/\[\d+:\d+\]/, ''));
    const words = (line: string) =>
      [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
    const forward = () =>
      ruleLines(namespace.exec(`iptables-${variant}-save`)).filter(
        (line) => line.startsWith('-A FORWARD') && line.includes('hyperplug'),
      );

    /** Where a connection that is tried now is sent, as the kernel's connection tracking has it. */
    const translate = async (protocol: TransportProtocol, hostAddress: string, hostPort: number) => {
      const text = `const s=require('net').connect(${hostPort},'${hostAddress}');s.on('error',()=>{});setTimeout(()=>process.exit(),60)`;
      namespace.exec(process.execPath, '-e', text);
      const socket = new NetlinkSocket(namespace.path, NETLINK_NETFILTER);
      const call = { signal: AbortSignal.timeout(10_000) };
      try {
        const flows = await socket.dump('list flows', { type: CTNETLINK.GET, header: { family: 2 } }, call);
        for (const { attributes } of flows) {
          const { original, reply } = attributes as Record<'original' | 'reply', Record<'ip' | 'protocol', Attributes>>;
          if (protocol !== 'tcp' || original.protocol.destinationPort !== hostPort) continue;
          if (original.ip.destination4 !== hostAddress) continue;
          const [address, port] = [String(reply.ip.source4), Number(reply.protocol.sourcePort)];
          // The same socket pair is tried again later.
          const { id } = attributes;
          const request = { type: CTNETLINK.DELETE, flags: 5, header: { family: 2 }, attributes: { original, id } };
          await socket.request('forget flow', request as Parameters<NetlinkSocket['request']>[1], call);
          if (address !== hostAddress) return { address, port };
        }
        return undefined;
      } finally {
        await socket.close();
      }
    };

    firewallContract({
      runner: { describe, it, before, after, beforeEach, afterEach },
      label: `iptables-${variant}`,
      capabilities: iptablesCapabilities,
      create: async () => new IptablesFirewall({ variant, netns: namespace.path }, tools),
      dispose: () => namespace.flushRules(`-${variant}`),
      rules: () => ruleLines(namespace.savedRules(`-${variant}`)),
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
      translate,
      inject: {
        refuse: () => {
          refuseNext = true;
        },
      },
    });
  });
}
