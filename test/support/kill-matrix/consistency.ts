import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Hyperplug } from '../../../src/core/pod/types.js';
import { LocalAddressPool } from '../../../src/plugins/local/address-pool.js';
import { LocalStateStore } from '../../../src/plugins/local/state-store.js';
import type { TestNamespace } from '../netns.js';
import { processesNaming } from '../sandbox.js';

/** What differs between the pods that there are and what this machine has of ours, by other people's tools where there are any. */
export async function inconsistencies(
  matrix: { readonly namespace: TestNamespace; readonly root: string; readonly hypervisor?: string | undefined },
  hyperplug: Hyperplug,
): Promise<string[]> {
  const { namespace, root, hypervisor } = matrix;
  const wrong: string[] = [];
  const expect = (what: string, found: readonly string[], wanted: readonly string[]) => {
    const [a, b] = [[...found].sort().join(' '), [...wanted].sort().join(' ')];
    if (a !== b) wrong.push(`${what}: expected [${b}], got [${a}]`);
  };
  const pods = await hyperplug.listPods();
  const running = pods.filter(({ state }) => state === 'running');
  const strange = pods.filter(({ state }) => !['running', 'exited', 'failed', 'created'].includes(state));
  wrong.push(...strange.map(({ id, state }) => `pod ${id} is ${state}`));
  const nics = running.flatMap((pod) => pod.nics.map((nic) => ({ pod: pod.id, ...nic })));

  const links = namespace.json('link', 'show').filter(({ ifname }) => ifname !== 'lo');
  // User Mode Linux has cables into its own namespace.
  const device = hypervisor === 'uml' ? 'veth' : 'tun';
  const taps = links.filter(({ linkinfo }) => linkinfo?.info_kind === device);
  const alias = (text: string | undefined) => text?.replace(/^hyperplug@\w+ /, '').replaceAll(' ', '.') ?? 'none';
  expect(
    'taps',
    taps.map(({ ifalias }) => alias(ifalias)),
    nics.map(({ pod, id }) => `pod.${pod}.nic.${id}`),
  );
  const bridges = links.filter(({ linkinfo }) => linkinfo?.info_kind === 'bridge').map(({ ifname }) => ifname);
  for (const tap of taps) if (!bridges.includes(tap.master)) wrong.push(`tap ${tap.ifname} is on no bridge`);
  expect(
    'other links',
    links
      .filter(({ ifname }) => !bridges.includes(ifname) && !taps.some((tap) => tap.ifname === ifname))
      .map(({ ifname }) => ifname),
    [],
  );

  const rules = namespace.savedRules().split('\n');
  const marks = rules.flatMap(
    (rule) => /"hyperplug@\w+ \S+ port (\S+) to (\S+) /.exec(rule)?.slice(1, 3).join('>') ?? [],
  );
  const published = nics.flatMap(({ pod, id, ports, lease }) =>
    ports.map(({ protocol, hostAddress, hostPort }) => {
      const target = lease?.addresses.find(({ address }) => address.includes(':') === hostAddress.includes(':'));
      return `${pod}/${id}/${protocol}/${hostAddress}/${hostPort}>${target?.address}`;
    }),
  );
  expect('published ports', [...new Set(marks)], published);
  // DNAT and ACCEPT of each, once.
  expect('rules of ports', marks, [...published, ...published]);
  for (const { name, state, drift } of await hyperplug.networks.status()) {
    if (state === 'drifted') wrong.push(`network ${name}: ${drift.join(', ')}`);
  }

  const store = new LocalStateStore(join(root, 'state/state.mdb'));
  try {
    const call = { signal: AbortSignal.timeout(20_000) };
    const allocations = await new LocalAddressPool(store).all(call);
    expect(
      'addresses',
      allocations.map(({ address, owner }) => `${owner}=${address}`),
      nics.flatMap(({ pod, id, lease }) => lease?.addresses.map(({ address }) => `${pod}/${id}=${address}`) ?? []),
    );
    expect(
      'pod records',
      (await store.list(['pods'], call)).map(({ key }) => key.join('/')),
      pods.map(({ id }) => `pods/${id}`),
    );
    wrong.push(...(await store.unreadable([], call)).map(({ key }) => `unreadable: ${key.join('/')}`));
  } finally {
    await store.stop();
  }

  const ids = running.map(({ id }) => id);
  expect('run directories', names(join(root, 'run/pods')), ids);
  expect(
    'data directories',
    names(join(root, 'state/pods')),
    pods.map(({ id }) => id),
  );
  if (!hypervisor) {
    for (const id of ids) expect(`files of ${id}`, names(join(root, 'run/pods', id)), ['vm.pid', 'vm.sock']);
  }
  const locks = names(join(root, 'run/locks')).filter((name) => !pods.some(({ id }) => name === `${id}.lock`));
  expect('locks', locks, []);
  const processes = processesNaming(`${root}/run/pods/`);
  const owners = processes.map(({ command }) => command.split(`${root}/run/pods/`)[1]?.split(/[/\s]/)[0] ?? command);
  expect('VMs', [...new Set(owners)], ids);
  if (!hypervisor) {
    expect(
      'processes of VMs',
      processes.map(({ pid }) => String(pid)),
      running.map(({ pid }) => String(pid)),
    );
  }
  return wrong;
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
