import { existsSync } from 'node:fs';
import { expect } from 'chai';
import type { FirewallNetwork } from '../../../src/core/firewall.js';
import { IptablesFirewall } from '../../../src/plugins/iptables/firewall.js';
import { callFor, tools } from '../../support/netlink-backend.js';
import { TestNamespace } from '../../support/netns.js';
import { requireOrSkip } from '../../support/require.js';

const network = (name: string, subnets: string[]): FirewallNetwork => ({
  name,
  bridge: name,
  subnets,
  isolated: false,
});

describe('iptables: rules that the other variant has', function () {
  this.timeout(60_000);
  let namespace: TestNamespace;
  const firewalls: IptablesFirewall[] = [];
  const one = network('one', ['10.1.0.0/24', 'fd00:1::/64']);
  const two = network('two', ['10.2.0.0/24']);

  before(function () {
    const programs = ['legacy', 'nft'].map((variant) => `/usr/sbin/iptables-${variant}`);
    const reason =
      TestNamespace.unavailable() ?? (programs.every(existsSync) ? undefined : 'one kind of iptables is not installed');
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    namespace = new TestNamespace();
  });
  afterEach(async () => {
    for (const firewall of firewalls.splice(0)) await firewall.stop();
    namespace.delete();
  });

  const firewall = (variant: 'legacy' | 'nft', owner: string) => {
    const made = new IptablesFirewall({ variant, netns: namespace.path }, tools, owner);
    firewalls.push(made);
    return made;
  };
  const saved = (variant: string) =>
    ['iptables', 'ip6tables'].flatMap((family) =>
      namespace
        .exec(`${family}-${variant}-save`)
        .split('\n')
        .filter((line) => line.startsWith('-A')),
    );

  for (const [before_, now] of [
    ['legacy', 'nft'],
    ['nft', 'legacy'],
  ] as const) {
    it(`those of ${before_} are told when ${now} is used, and taken away by repair; another owner's are not`, async () => {
      const others = firewall(before_, 'theirs');
      await others.ensureNetwork(two, callFor());
      const theirs = saved(before_);
      const old = firewall(before_, 'mine00');
      for (const each of [one, two]) await old.ensureNetwork(each, callFor());
      const firewallNow = firewall(now, 'mine00');
      await firewallNow.ensureNetwork(one, callFor());
      const drift = await firewallNow.check(callFor());
      expect(drift.map(({ kind }) => kind))
        .to.include('foreign')
        .and.not.include('missing');
      expect(new Set(drift.map(({ network: name }) => name))).to.deep.equal(new Set(['one', 'two', '-']));
      expect(drift.map(({ rule }) => rule).join('\n'))
        .to.include(`left in iptables-${before_} (net repair removes it): -t`)
        .and.include(`left in ip6tables-${before_}`);
      await firewallNow.removeNetwork('two', callFor());
      expect(saved(before_).some((rule) => rule.includes('@mine00 two'))).to.equal(false);
      expect(saved(before_).some((rule) => rule.includes('@mine00 one'))).to.equal(true);
      const rules = saved(now);
      await firewallNow.repair(callFor());
      expect(saved(before_)).to.deep.equal(theirs);
      expect(saved(now)).to.deep.equal(rules);
      expect(await firewallNow.check(callFor())).to.deep.equal([]);
    });
  }
});
