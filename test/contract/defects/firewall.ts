import type { CallOptions } from '../../../src/core/calls.js';
import type { FirewallDrift, FirewallNetwork, PublishedPort, Restriction } from '../../../src/core/firewall.js';
import { FakeFirewall } from '../../../src/testing/index.js';
import type { Defect } from '../../support/seeded-defects.js';
import type { FakeFirewallSuite } from '../fake-firewall.js';

type Parts = Pick<FakeFirewallSuite, 'firewall' | 'capabilities'>;

const isOurs = (rule: string) => rule.includes('# hyperplug');

const SAME = 'ensureNetwork() makes rules, and any number of times the same ones';
const REFUSED =
  'ensureNetwork() that the kernel refuses rejects with FIREWALL_FAILED, changes nothing, and a retry works';
const REFUSED_PORT = 'publish() that the kernel refuses rejects with FIREWALL_FAILED and publishes none of them';
const MISSING = 'a rule that was removed is found missing, and repaired in its place';
const DUPLICATE = 'a rule that is there twice is found duplicate, and repaired';
const FOREIGN = 'a rule with our mark that belongs to nothing known is found foreign, and removed';
const FLUSHED = 'all rules flushed by another program are found missing, ports too, and repaired';
const OTHERS = "other people's rules stay where they are, whatever is done";
const ANEW = 'published() is read from the rules: a manager that starts anew knows the ports';

export const FIREWALL_DEFECTS: readonly Defect<Parts>[] = [
  {
    what: 'adds its rules again at each start',
    parts: {
      firewall: class extends FakeFirewall {
        protected override apply(rules: readonly string[]) {
          super.apply([...this.table.rules, ...rules.filter(isOurs)]);
        }
      },
    },
    failing: [SAME, 'a manager that starts anew finds the rules and adds none'],
  },
  {
    what: "takes a stale subnet's rule for one that it wants",
    parts: {
      firewall: class extends FakeFirewall {
        protected override apply(rules: readonly string[]) {
          const shape = (rule: string) => rule.replaceAll(/[0-9a-f:.]+\/[0-9]+/g, '?');
          const there = new Set(this.table.rules.map(shape));
          const kept = this.table.rules.filter((rule) => rules.some((each) => shape(each) === shape(rule)));
          super.apply([...kept, ...rules.filter((rule) => !there.has(shape(rule)))]);
        }
      },
    },
    failing: ['a network that changed has its new rules, and none of the old'],
  },
  {
    what: 'only notes that the kernel refused',
    parts: {
      firewall: class extends FakeFirewall {
        protected override apply(rules: readonly string[]) {
          try {
            super.apply(rules);
          } catch {}
        }
      },
    },
    failing: [REFUSED, REFUSED_PORT],
  },
  {
    what: 'believes in rules that were refused',
    parts: {
      firewall: class extends FakeFirewall {
        protected override restore() {}
      },
    },
    failing: [REFUSED],
  },
  {
    what: 'makes its rules one by one, and stops in the middle',
    parts: {
      firewall: class extends FakeFirewall {
        protected override apply(rules: readonly string[]) {
          this.table.rules = rules.slice(0, -1);
          super.apply(rules);
        }
      },
    },
    failing: [REFUSED, REFUSED_PORT],
  },
  {
    what: 'publishes the ports before the one that cannot be',
    parts: {
      firewall: class extends FakeFirewall {
        override async publish(ports: readonly PublishedPort[], options: CallOptions) {
          for (const port of ports) await super.publish([port], options);
        }
      },
    },
    failing: [
      'publish() with one port that cannot be published publishes none of them',
      'publish() in a protocol that is not declared rejects with NOT_SUPPORTED and publishes none of them',
    ],
  },
  {
    what: "flushes other people's rules",
    parts: {
      firewall: class extends FakeFirewall {
        protected override apply(rules: readonly string[]) {
          super.apply(rules.filter(isOurs));
        }
      },
    },
    failing: [OTHERS],
  },
  {
    what: "takes other people's rules for its own",
    parts: {
      firewall: class extends FakeFirewall {
        override async check(options: CallOptions): Promise<readonly FirewallDrift[]> {
          const theirs = this.table.rules.filter((rule) => !isOurs(rule));
          const foreign = theirs.map((rule) => ({ network: 'contract', kind: 'foreign' as const, rule }));
          return [...(await super.check(options)), ...foreign];
        }
      },
    },
    failing: [OTHERS],
  },
  {
    what: 'finds nothing wrong, ever',
    parts: {
      firewall: class extends FakeFirewall {
        override async check() {
          return [];
        }
      },
    },
    failing: [MISSING, DUPLICATE, FOREIGN, FLUSHED],
  },
  {
    what: 'repairs nothing',
    parts: {
      firewall: class extends FakeFirewall {
        override async repair() {}
      },
    },
    failing: [MISSING, DUPLICATE, FOREIGN, FLUSHED],
  },
  {
    what: 'puts what was missing at the end',
    parts: {
      firewall: class extends FakeFirewall {
        override async repair() {
          const missing = this.wanted().filter((rule) => !this.table.rules.includes(rule));
          this.table.rules = [...this.table.rules, ...missing];
        }
      },
    },
    failing: [MISSING, DUPLICATE, FOREIGN],
  },
  {
    what: 'maps every port of a range to its first',
    parts: {
      firewall: class extends FakeFirewall {
        override publish(ports: readonly PublishedPort[], options: CallOptions) {
          const spread = ports.flatMap((port) =>
            Array.from({ length: port.mapping.count }, (_, at) => ({
              ...port,
              id: `${port.id}+${at}`,
              mapping: { ...port.mapping, hostPort: port.mapping.hostPort + at, count: 1 },
            })),
          );
          return super.publish(spread, options);
        }
      },
    },
    failing: ['a range maps port p to exactly p + d: first, last, and neither neighbour'],
  },
  {
    what: 'maps one port more than the range has',
    parts: {
      firewall: class extends FakeFirewall {
        override publish(ports: readonly PublishedPort[], options: CallOptions) {
          const longer = ports.map((port) => ({
            ...port,
            mapping: { ...port.mapping, count: port.mapping.count + 1 },
          }));
          return super.publish(longer, options);
        }
      },
    },
    failing: [
      'a range maps port p to exactly p + d: first, last, and neither neighbour',
      'a mapping goes where it says, and not after it was unpublished',
    ],
  },
  {
    what: 'leads a port that has several to the first of them alone',
    parts: {
      firewall: class extends FakeFirewall {
        override publish(ports: readonly PublishedPort[], options: CallOptions) {
          const firsts = ports.map((port) => {
            const { guestCount: _, ...mapping } = port.mapping;
            return { ...port, mapping };
          });
          return super.publish(firsts, options);
        }
      },
    },
    failing: [
      'one port that leads to several leads to them all, each time to one of them',
      'published() reads back what publish() was given, in every declared protocol',
    ],
  },
  {
    what: 'publishes on every address of the host',
    parts: {
      firewall: class extends FakeFirewall {
        override publish(ports: readonly PublishedPort[], options: CallOptions) {
          const open = ports.map((port) => ({ ...port, mapping: { ...port.mapping, hostAddress: '0.0.0.0' } }));
          return super.publish(open, options);
        }
      },
    },
    failing: ['a mapping of one host address is not one of another'],
  },
  {
    what: 'leaves the ports of a network that is removed',
    parts: {
      firewall: class extends FakeFirewall {
        override async removeNetwork(name: string, options: CallOptions) {
          const ports = this.table.rules.filter(
            (rule) => rule.startsWith('dnat') && rule.includes(`# hyperplug ${name} `),
          );
          await super.removeNetwork(name, options);
          this.table.rules = [...this.table.rules, ...ports];
        }
      },
    },
    failing: ['removeNetwork() removes its ports, and none of another network'],
  },
  {
    what: 'knows only the ports that it published itself',
    parts: {
      firewall: class extends FakeFirewall {
        protected override learnPorts() {}
        override async published() {
          return [...this.ports.values()];
        }
      },
    },
    failing: [ANEW],
  },
  {
    what: 'fails at removing what is not there',
    parts: {
      firewall: class extends FakeFirewall {
        override async unpublish(ids: readonly string[], options: CallOptions) {
          for (const id of ids) if (!this.ports.has(id)) throw new Error(`no rule ${id}`);
          await super.unpublish(ids, options);
        }
      },
    },
    failing: [
      'unpublish() removes exactly the ports named, and is idempotent',
      'before anything is there: nothing published, no drift, removals resolve',
    ],
  },
  {
    what: 'declares isolation and does nothing for it',
    parts: {
      firewall: class extends FakeFirewall {
        override ensureNetwork(network: FirewallNetwork, options: CallOptions) {
          return super.ensureNetwork({ ...network, isolated: false }, options);
        }
      },
    },
    failing: ['isolation makes a difference, and can be taken back'],
  },
  {
    what: 'does what it does not declare',
    parts: {
      firewall: class extends FakeFirewall {
        protected override refuse(): never {
          return undefined as never;
        }
      },
      capabilities: { isolation: false, publishToAny: false },
    },
    failing: [
      'an isolated network is refused with NOT_SUPPORTED where isolation is not declared',
      'publish() in a protocol that is not declared rejects with NOT_SUPPORTED and publishes none of them',
      'publish() of one port that leads to several rejects with NOT_SUPPORTED where publishToAny is not declared',
    ],
  },
  {
    what: 'does not look at the signal',
    parts: {
      firewall: class extends FakeFirewall {
        protected override change(what: string, _options: CallOptions, body: () => void) {
          return super.change(what, { signal: new AbortController().signal }, body);
        }
      },
    },
    failing: [
      'ensureNetwork() with a signal that has fired rejects with its reason and changes nothing',
      'publish() with a signal that has fired rejects with its reason and publishes nothing',
    ],
  },
  {
    what: 'takes external networks for internal ones',
    parts: {
      firewall: class extends FakeFirewall {
        override restrict(restrictions: readonly Restriction[], options: CallOptions) {
          const open = restrictions.map((each) => {
            const { internal, external } = each.allow;
            return { ...each, allow: { internal: [...internal, ...external], external: [] } };
          });
          return super.restrict(open, options);
        }
      },
    },
    failing: ['restricted() reads back what restrict() was given, also for a manager that starts anew'],
  },
  {
    what: 'leaves the restriction of a NIC that has gone to whoever gets its address next',
    parts: {
      firewall: class extends FakeFirewall {
        override async unrestrict() {}
      },
    },
    failing: ['unrestrict() removes exactly those named, and is idempotent; ports are not its affair'],
  },
  {
    what: 'forgets whom it was told to keep out when another program flushes the rules',
    parts: {
      firewall: class extends FakeFirewall {
        override check(options: CallOptions) {
          const standing = this.table.rules.join();
          for (const key of [...this.restrictions.keys()]) {
            if (!standing.includes(key.split(' ')[0] as string)) this.restrictions.delete(key);
          }
          return super.check(options);
        }
      },
    },
    failing: [
      'flushed by another program they are found missing and repaired, also by a manager that was told of them',
    ],
  },
];
