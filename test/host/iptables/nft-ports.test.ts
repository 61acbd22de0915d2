import { expect } from 'chai';
import fc from 'fast-check';
import type { PublishedPort } from '../../../src/core/firewall.js';
import type { TransportProtocol } from '../../../src/core/network.js';
import type { PlannedRule } from '../../../src/plugins/iptables/network-rules.js';
import { NftPortTable } from '../../../src/plugins/iptables/nft/port-table.js';
import { NftSocket } from '../../../src/plugins/iptables/nft/socket.js';
import { ownedWords } from '../../../src/plugins/iptables/owner.js';
import { portRules } from '../../../src/plugins/iptables/port-rules.js';
import { parseSave } from '../../../src/plugins/iptables/rule-text.js';
import { TestNamespace } from '../../support/netns.js';
import { requireOrSkip } from '../../support/require.js';

const HYPER = '*nat\n:POSTROUTING ACCEPT [0:0]\n:HYPER - [0:0]\nCOMMIT\n*filter\n:HYPER - [0:0]\nCOMMIT\n';

const octets = (length: number) => fc.array(fc.integer({ min: 1, max: 254 }), { minLength: length, maxLength: length });
const address4 = octets(4).map((bytes) => `10.${bytes.slice(1).join('.')}`);
const address6 = octets(2).map(([a = 1, b = 1]) => `fd00:${a.toString(16)}::${b.toString(16)}`);

const port = (family: 4 | 6): fc.Arbitrary<PublishedPort> =>
  fc
    .record({
      pod: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
      protocol: fc.constantFrom<TransportProtocol>('tcp', 'udp', 'sctp'),
      hostAddress: family === 4 ? fc.oneof(fc.constant('0.0.0.0'), address4) : fc.oneof(fc.constant('::'), address6),
      guestAddress: family === 4 ? address4 : address6,
      hostPort: fc.integer({ min: 1, max: 60_000 }),
      guestPort: fc.integer({ min: 1, max: 60_000 }),
      count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 5_000 })),
      same: fc.boolean(),
      guestCount: fc.option(fc.integer({ min: 2, max: 5_000 }), { nil: undefined }),
    })
    .map(({ pod, protocol, hostAddress, guestAddress, hostPort, count, guestCount, ...rest }) => ({
      id: `${pod}/eth-default/${protocol}/${hostAddress}/${hostPort}`,
      network: 'default',
      guestAddress,
      mapping: {
        protocol,
        hostAddress,
        hostPort,
        count,
        guestPort: rest.same ? hostPort : rest.guestPort,
        ...(count === 1 && guestCount !== undefined && { guestCount }),
      },
    }));

describe('published ports by netlink, beside iptables-nft', function () {
  this.timeout(120_000);
  let namespace: TestNamespace;
  const table = (family: 4 | 6, owner?: string) => new NftPortTable(family, namespace.path, owner);

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
    namespace.ip('link', 'add', 'hyper0', 'type', 'bridge');
    restore('iptables', HYPER);
    restore('ip6tables', HYPER);
  });
  after(() => namespace?.delete());

  function restore(program: string, script: string): void {
    namespace.exec('sh', '-c', `printf '${script.replaceAll('\n', '\\n')}' | ${program}-nft-restore --noflush`);
  }
  const saved = (family: 4 | 6) =>
    [...parseSave(namespace.exec(`${family === 4 ? 'iptables' : 'ip6tables'}-nft-save`)).values()].flatMap(
      ({ rules }) => rules,
    );

  for (const family of [4, 6] as const) {
    it(`IPv${family}: iptables-save shows each rule in the very words it was planned in, whatever the mapping`, async () => {
      const subnet = family === 4 ? '10.1.0.0/17' : 'fd00:1::/61';
      await fc.assert(
        fc.asyncProperty(fc.uniqueArray(port(family), { maxLength: 12, selector: ({ id }) => id }), async (ports) => {
          const nft = table(family, 'mine');
          try {
            const ids = new Set(ports.map(({ id }) => id));
            const rules = ports.flatMap((each) => portRules(each, 'hyper0', [subnet]));
            expect(await nft.change(ids, rules, [], () => {})).to.equal(true);
            const shown = (list: readonly { table: string; chain: string; words: readonly string[] }[]) =>
              list.map(({ table: name, chain, words }) => `${name} ${chain} ${words.join(' ')}`).sort();
            expect(shown(saved(family))).to.deep.equal(
              shown(rules.map((rule) => ({ ...rule, words: ownedWords(rule.words, 'mine') }))),
            );
            const read = table(family, 'mine');
            expect(read.published()).to.have.deep.members(ports);
            read.close();
            expect(await nft.change(ids, [], [], () => {})).to.equal(true);
            expect(saved(family)).to.deep.equal([]);
          } finally {
            nft.close();
          }
        }),
        { numRuns: 25 },
      );
    });
  }

  const one: PublishedPort = {
    id: 'p/n/tcp/0.0.0.0/80',
    network: 'default',
    guestAddress: '10.1.0.2',
    mapping: { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 80, guestPort: 8080, count: 1 },
  };
  const rules = portRules(one, 'hyper0');
  const put = (nft: NftPortTable, planned: readonly PlannedRule[], needed: readonly PlannedRule[] = []) =>
    nft.change(new Set(), planned, needed, () => {});
  const takeOut = (nft: NftPortTable, id: string) => nft.change(new Set([id]), [], [], () => {});

  it('reads and takes out what iptables-restore wrote, and puts nothing in twice', async () => {
    for (const { table: name, chain, words } of rules) {
      namespace.exec('iptables-nft', '-t', name, '-A', chain, ...words);
    }
    const nft = table(4);
    try {
      expect(nft.published()).to.deep.equal([one]);
      const before = saved(4);
      expect(await nft.change(new Set([one.id]), rules, [], () => {})).to.equal(true);
      expect(saved(4)).to.have.deep.members(before);
      expect(await nft.change(new Set([one.id]), [], [], () => {})).to.equal(true);
      expect(saved(4)).to.deep.equal([]);
    } finally {
      nft.close();
    }
  });

  it('sees what others change between two of its own changes, and leaves it alone', async () => {
    const nft = table(4);
    try {
      await nft.change(new Set(), rules, [], () => {});
      namespace.exec('iptables-nft', '-t', 'nat', '-A', 'HYPER', '-p', 'tcp', '-j', 'RETURN');
      namespace.exec('iptables-nft', '-t', 'filter', '-F', 'HYPER');
      await nft.change(new Set([one.id]), rules, [], () => {});
      expect(saved(4).filter(({ comment }) => comment !== undefined)).to.have.lengthOf(2);
      expect(saved(4)).to.have.lengthOf(3);
      await nft.change(new Set([one.id]), [], [], () => {});
      namespace.exec('iptables-nft', '-t', 'nat', '-D', 'HYPER', '-p', 'tcp', '-j', 'RETURN');
    } finally {
      nft.close();
    }
  });

  it('forgets no rule but those that it took out, though tables number theirs alike', async () => {
    const nft = table(4);
    const other = { ...one, id: 'p/n/tcp/0.0.0.0/81', mapping: { ...one.mapping, hostPort: 81 } };
    try {
      await put(nft, rules);
      await put(nft, portRules(other, 'hyper0'));
      await takeOut(nft, one.id);
      expect(nft.published()).to.deep.equal([other]);
      const fresh = table(4);
      expect(fresh.published()).to.deep.equal([other]);
      fresh.close();
      await takeOut(nft, other.id);
      expect(saved(4)).to.deep.equal([]);
    } finally {
      nft.close();
    }
  });

  it('does nothing where rules that ports need do not stand, each once', async () => {
    const nft = table(4);
    const words = ['-o', 'hyper0', '-m', 'comment', '--comment', 'hyperplug default masquerade', '-j', 'MASQUERADE'];
    const needed = [{ table: 'nat', chain: 'POSTROUTING', words }] as const;
    const append = () => namespace.exec('iptables-nft', '-t', 'nat', '-A', 'POSTROUTING', ...words);
    try {
      expect(await put(nft, rules, needed)).to.equal(false);
      expect(saved(4)).to.deep.equal([]);
      append();
      expect(await put(nft, rules, needed)).to.equal(true);
      await takeOut(nft, one.id);
      append();
      expect(await put(nft, rules, needed)).to.equal(false);
      expect(saved(4)).to.have.lengthOf(2);
    } finally {
      namespace.exec('iptables-nft', '-t', 'nat', '-F', 'POSTROUTING');
      nft.close();
    }
  });

  it('a change that is made from an older state of the rules is none', async () => {
    const socket = new NftSocket(4, namespace.path);
    try {
      const generation = socket.generation();
      namespace.exec('iptables-nft', '-t', 'nat', '-A', 'HYPER', '-p', 'tcp', '-j', 'RETURN');
      const attributes = Buffer.alloc(0);
      expect(await socket.commit(generation, [], [{ table: 'nat', chain: 'HYPER', attributes }])).to.equal(undefined);
      expect(saved(4)).to.have.lengthOf(1);
      // Of the right one it is: a rule without expressions, which matches everything and does nothing.
      const [own] = socket.rules('nat', 'HYPER');
      const done = await socket.commit(socket.generation(), own ? [own] : [], []);
      expect(done?.deleted.map(({ handle }) => handle)).to.deep.equal([own?.handle]);
      expect(saved(4)).to.deep.equal([]);
    } finally {
      socket.close();
    }
  });
});
