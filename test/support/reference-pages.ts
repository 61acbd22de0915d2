import type { PluginKind } from '../../src/core/plugin.js';
import {
  addressPoolContract,
  type ContractRunner,
  FakeAddressPool,
  FakeStateStore,
  stateStoreContract,
} from '../../src/testing/index.js';
import { fakeAgentContract } from '../contract/fake-agent.js';
import { fakeFirewallContract } from '../contract/fake-firewall.js';
import { fakeHypervisorContract } from '../contract/fake-hypervisor.js';
import { fakeNetworkContract } from '../contract/fake-network.js';
import { defectTable, membersOf, testsOf, titlesOf } from './reference.js';

export interface Page {
  readonly file: string;
  readonly interfaces: readonly string[];
  readonly suite: string;
  readonly define: (runner: ContractRunner) => void;
  /** Method → groups of tests, or parts of titles, that are about it without naming it. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

export const PAGES: Readonly<Record<PluginKind, Page>> = {
  hypervisor: {
    file: 'hypervisor.ts',
    interfaces: ['HypervisorDriver', 'HypervisorVm'],
    suite: 'hypervisorContract',
    define: (runner) => fakeHypervisorContract({ runner }),
    groups: {
      capabilities: ['capabilities are complete'],
      launch: ['NICs of the specification', 'disks', 'shares'],
      openChannel: ['channels'],
      onEvent: ['each listener'],
      exited: ['exit'],
      state: ['states'],
      release: ['released'],
    },
  },
  network: {
    file: 'network.ts',
    interfaces: ['NetworkBackend', 'HostNic'],
    suite: 'networkContract',
    define: (runner) => fakeNetworkContract({ runner }),
    groups: {
      capabilities: ['capabilities are complete'],
      allocateAddress: ['leases'],
      attach: ['NICs attached', 'a builtin endpoint', 'a port that', 'a protocol'],
      record: ['record'],
      forwards: ['a builtin endpoint'],
    },
  },
  firewall: {
    file: 'firewall.ts',
    interfaces: ['Firewall'],
    suite: 'firewallContract',
    define: (runner) => fakeFirewallContract({ runner }),
    groups: { capabilities: ['capabilities are complete'], check: ['drift'], repair: ['repaired'] },
  },
  agent: {
    file: 'agent.ts',
    interfaces: ['GuestAgent', 'GuestSession', 'GuestProcess'],
    suite: 'agentContract',
    define: (runner) => fakeAgentContract({ runner }),
    groups: {
      capabilities: ['capabilities are complete'],
      features: ['says what it can'],
      closed: ['the end of a conversation', 'closed is pending'],
      exec: ['processes', 'terminals'],
      removeRoutes: ['routes are added'],
      newContainer: ['containers'],
      startContainer: ['containers'],
      signalContainer: ['containers'],
      removeContainer: ['containers'],
      listContainers: ['containers'],
      readContainerLog: ['containers'],
      onContainerExit: ['containers'],
      writeFile: ['files'],
      readFile: ['files'],
      stdin: ['stdin', 'input that'],
      stdout: ['stdout', 'output that', 'much data'],
      stderr: ['stdout and stderr', 'one output'],
      exited: ['says its exit code', 'at once keep their data and exit codes'],
    },
  },
  'address-pool': {
    file: 'address-pool.ts',
    interfaces: ['AddressPool'],
    suite: 'addressPoolContract',
    define(runner) {
      const { capabilities } = new FakeAddressPool({ durable: true });
      addressPoolContract({ runner, capabilities, create: () => new FakeAddressPool(), failNextWrite: () => {} });
    },
    groups: {
      capabilities: ['declares its capabilities'],
      register: ['IPv4 › networks'],
      unregister: ['unregistered'],
      request: ['IPv4 › requests'],
      release: ['takes back what was given', 'refuses what is no address', 'never runs dry'],
      releaseOwner: ['releases all that an owner'],
      list: ['are listed'],
      usage: ['their use counted', 'as large as declared'],
    },
  },
  state: {
    file: 'state-store.ts',
    interfaces: ['StateStore', 'StateTransaction'],
    suite: 'stateStoreContract',
    define(runner) {
      const capabilities = { durable: true, multiProcess: true };
      const create = () => new FakeStateStore({ capabilities });
      stateStoreContract({ runner, capabilities, create, damage: () => {}, failNextCommit: () => {} });
    },
    groups: {
      capabilities: ['declares its capabilities'],
      get: ['values', 'STATE_CORRUPT', 'STATE_VERSION'],
      list: ['lists'],
      unreadable: ['reported by unreadable'],
      transaction: ['transactions'],
      put: ['replaces a value', 'copies values in', 'not JSON'],
      delete: ['what it deleted'],
    },
  },
};

/** What the suites do not check, and who does: said instead of left blank. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  name: 'at the plugin’s loading: the same as the plugin’s own',
  start: 'every test starts what it is given, if it has this',
  stop: 'every test stops what it started, if it has this',
  diagnose: 'by no suite: what it says is for people',
  counters: 'by no suite: figures for people',
  adoptLease: 'by no suite: for a backend that keeps leases in memory',
  setMtu: 'by no suite: the effect is the backend’s own',
  serve: 'by no suite: what it changes is when, not what',
  repair: 'by no suite: optional, see `status()` and `init()`',
};

export function referencePage(kind: PluginKind): string {
  const { file, interfaces, suite, define, groups } = PAGES[kind];
  const titles = titlesOf(define);
  const sections = interfaces.flatMap((name) => {
    const { doc, members } = membersOf(file, name);
    return [`## ${name}`, doc, ...members.flatMap((member) => memberParts(member, titles, groups))];
  });
  const source = `Generated from \`src/core/${file}\` and the suite \`${suite}\` of \`hyperplug/testing\`, by \`npm run docs\`.`;
  const parts = [
    `# ${kind}: the contract`,
    `${source}\nA test that needs a capability that is not declared, or a hook that is not given, is shown as skipped.`,
    ...sections,
    '## What the suite is known to catch',
    'Each defect was put into a healthy fake, and fails the tests beside it; the healthy fake fails none.',
    defectTable(kind),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function memberParts(
  { name, signature, doc }: ReturnType<typeof membersOf>['members'][number],
  titles: ReturnType<typeof titlesOf>,
  groups: Page['groups'],
): string[] {
  const tests = testsOf(name, titles, groups);
  const checked = tests.length > 0 ? tests : [ELSEWHERE[name] ?? 'by the tests that use it'];
  const bounded = signature.includes('CallOptions')
    ? 'Deadline: `options.signal`. When it fires, the call undoes what it made and rejects with the signal’s reason.'
    : '';
  return [
    `### ${name}`,
    `\`\`\`ts\n${signature}\n\`\`\``,
    doc,
    bounded,
    'Checked:',
    checked.map((title) => `- ${title}`).join('\n'),
  ];
}
