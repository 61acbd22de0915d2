import { expect } from 'chai';
import type { FirewallNetwork, PublishedPort } from '../../../../src/core/firewall.js';
import { allowRules, networkRules, sharedRules } from '../../../../src/plugins/iptables/network-rules.js';
import { changesFor } from '../../../../src/plugins/iptables/plan.js';
import { portMark, portOfMark, portRules } from '../../../../src/plugins/iptables/port-rules.js';
import { restrictedIn, restrictionRules } from '../../../../src/plugins/iptables/restriction-rules.js';
import { parseSave, ruleText } from '../../../../src/plugins/iptables/rule-text.js';
import { RuleSet } from '../../../../src/plugins/iptables/tables.js';

const network: FirewallNetwork = { name: 'default', bridge: 'hyper0', subnets: ['192.168.123.0/24'], isolated: false };
const port: PublishedPort = {
  id: 'p/n/tcp/0.0.0.0/8080',
  network: 'default',
  mapping: { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80, count: 1 },
  guestAddress: '192.168.123.2',
};
/** Without comments, as the original wrote them. */
const texts = (rules: readonly { table: string; chain: string; words: readonly string[] }[]) =>
  rules.map(({ table, chain, words }) =>
    `${table} ${ruleText(chain, words)}`.replace(/ -m comment --comment "[^"]*"/, ''),
  );

describe('rules of iptables', () => {
  it("the original's stand among those of a network, word by word", () => {
    const all = texts([...networkRules(network, 4), ...sharedRules(4)]);
    expect(all).to.include.members([
      'nat -A POSTROUTING -s 192.168.123.0/24 ! -o hyper0 -j MASQUERADE',
      'nat -A POSTROUTING -s 192.168.123.0/24 -d 192.168.123.0/24 -o hyper0 -m conntrack --ctstate DNAT -j MASQUERADE',
      'filter -A FORWARD -o hyper0 -j HYPER',
      'filter -A FORWARD -i hyper0 -j ACCEPT',
      'filter -A FORWARD -o hyper0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      'nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j HYPER',
      'nat -A PREROUTING -m addrtype --dst-type LOCAL -j HYPER',
    ]);
  });

  it('a network without an allow-list has none of its rules, one with an empty list neither', () => {
    expect(allowRules(network, 4)).to.deep.equal([]);
    expect(allowRules({ ...network, allow: { internal: [], external: [] } }, 4)).to.deep.equal([]);
  });

  it('an allow-list ends in a DROP, for each family alone', () => {
    const allow = { internal: ['10.0.0.0/8', 'fd00::/8'], external: ['0.0.0.0/0'] };
    expect(texts(allowRules({ ...network, allow }, 4))).to.deep.equal([
      'filter -A FORWARD ! -i hyper0 -o hyper0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      'filter -A FORWARD ! -i hyper0 -o hyper0 -p icmp -j ACCEPT',
      'filter -A FORWARD -s 10.0.0.0/8 ! -i hyper0 -o hyper0 -j ACCEPT',
      'filter -A FORWARD ! -i hyper0 -o hyper0 -j HYPER',
      'filter -A FORWARD ! -i hyper0 -o hyper0 -j DROP',
    ]);
    expect(texts(allowRules({ ...network, allow }, 6))).to.include(
      'filter -A FORWARD -s fd00::/8 ! -i hyper0 -o hyper0 -j ACCEPT',
    );
  });

  it("a pod's own lists end in a DROP, let through and accept nothing, and can be read back from their rules", () => {
    const allow = { internal: ['10.0.0.0/8', 'fd00::/8', '0.0.0.0/0'], external: ['0.0.0.0/0', '192.0.2.1/32'] };
    const restriction = { id: 'p/n', network: 'default', guestAddress: '192.168.123.2', allow };
    const rules = restrictionRules(restriction);
    expect(texts(rules)).to.deep.equal([
      'filter -A HYPER-ALLOW -d 192.168.123.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN',
      'filter -A HYPER-ALLOW -d 192.168.123.2/32 -p icmp -j RETURN',
      'filter -A HYPER-ALLOW -s 10.0.0.0/8 -d 192.168.123.2/32 -j RETURN',
      'filter -A HYPER-ALLOW -d 192.168.123.2/32 -j RETURN',
      'filter -A HYPER-ALLOW -d 192.168.123.2/32 -m conntrack --ctstate DNAT -j RETURN',
      'filter -A HYPER-ALLOW -s 192.0.2.1/32 -d 192.168.123.2/32 -m conntrack --ctstate DNAT -j RETURN',
      'filter -A HYPER-ALLOW -d 192.168.123.2/32 -j DROP',
    ]);
    const saved = `*filter\n${rules.map(({ chain, words }) => ruleText(chain, words)).join('\n')}\nCOMMIT\n`;
    const read = restrictedIn(new RuleSet(parseSave(saved)).rules());
    expect(read).to.deep.equal([{ ...restriction, allow: { ...allow, internal: ['10.0.0.0/8', '0.0.0.0/0'] } }]);
    expect(texts(restrictionRules({ ...restriction, guestAddress: 'fd01::2' }))).to.include(
      'filter -A HYPER-ALLOW -s fd00::/8 -d fd01::2/128 -j RETURN',
    );
  });

  it('a published port is accepted from each external network, and from nowhere without one', () => {
    const accepted = (sources?: string[]) =>
      texts(portRules(port, 'hyper0', sources)).filter((text) => text.includes('filter'));
    const rest = '-d 192.168.123.2/32 -o hyper0 -p tcp -m tcp --dport 80 -j ACCEPT';
    expect(accepted()).to.deep.equal([`filter -A HYPER ${rest}`]);
    expect(accepted(['10.0.0.0/8', '192.0.2.1/32'])).to.deep.equal([
      `filter -A HYPER -s 10.0.0.0/8 ${rest}`,
      `filter -A HYPER -s 192.0.2.1/32 ${rest}`,
    ]);
    expect(accepted([])).to.deep.equal([]);
  });

  it('one port that leads to several has all of them accepted, and the kernel told to choose', () => {
    const mapping = { ...port.mapping, guestCount: 4 };
    const rest = '-p tcp -m tcp --dport 80:83';
    expect(texts(portRules({ ...port, mapping }, 'hyper0'))).to.deep.equal([
      'nat -A HYPER -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.168.123.2:80-83 --random',
      `filter -A HYPER -d 192.168.123.2/32 -o hyper0 ${rest} -j ACCEPT`,
    ]);
  });

  it('what is asked for and stands there needs no change; a source more needs that port alone', () => {
    const wanted = (external: string[]) =>
      ({ family: 4, networks: [{ ...network, allow: { internal: [], external } }], ports: [port] }) as const;
    const empty = new RuleSet(parseSave('*filter\n:FORWARD ACCEPT\nCOMMIT\n*nat\n:OUTPUT ACCEPT\nCOMMIT\n'));
    const saved = (external: string[]) => {
      const lines: Record<string, string[]> = { filter: [], nat: [] };
      for (const change of changesFor(empty, wanted(external))) {
        if (change.kind === 'chain') lines[change.table]?.push(`:${change.chain} -`);
        if (change.kind === 'insert' || change.kind === 'append') {
          lines[change.rule.table]?.push(ruleText(change.rule.chain, change.rule.words));
        }
      }
      return new RuleSet(
        parseSave(
          Object.entries(lines)
            .map(([table, rules]) => `*${table}\n${rules.join('\n')}\n`)
            .join(''),
        ),
      );
    };
    const one = ['10.0.0.0/8'];
    const two = ['10.0.0.0/8', '192.0.2.0/24'];
    expect(changesFor(saved(one), wanted(one))).to.deep.equal([]);
    expect(changesFor(saved(two), wanted(two))).to.deep.equal([]);
    expect(changesFor(saved(one), wanted(two)).map(({ kind }) => kind)).to.deep.equal(['delete', 'append', 'append']);
  });

  it('a mark holds all that reading a port back needs', () => {
    const range = { ...port.mapping, hostPort: 9000, guestPort: 6000, count: 10 };
    const toAny = { ...port.mapping, guestCount: 4 };
    for (const each of [port, { ...port, id: 'p/n/tcp/0.0.0.0/9000', mapping: range }, { ...port, mapping: toAny }]) {
      expect(portOfMark(portMark(each))).to.deep.equal(each);
    }
    expect(portOfMark('hyperplug default outgoing')).to.equal(undefined);
    expect(portOfMark('hyperplug default port a/b/icmp/0.0.0.0/1 to 10.0.0.1 1 x1')).to.equal(undefined);
  });
});
