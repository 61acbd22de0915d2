import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { GcReport } from '../../src/core/gc/types.js';
import { LocalStateStore } from '../../src/plugins/local/state-store.js';
import { inconsistencies } from '../support/kill-matrix/consistency.js';
import { KillMatrix } from '../support/kill-matrix/matrix.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

const told = ({ findings }: GcReport) =>
  findings.map(({ action, kind, pod }) => `${action} ${kind} ${pod ?? ''}`.trim());
const ports = (hostPort: number) => [{ hostPort, containerPort: 80 }];

describe('gc on a real network, with VMs that are processes', function () {
  this.timeout(180_000);
  let here: KillMatrix;

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
  });
  beforeEach(() => {
    here = new KillMatrix();
  });
  afterEach(async () => {
    expect(await here.dispose()).to.deep.equal([]);
  });

  const world = () => [
    here.namespace.ip('-j', 'link', 'show'),
    // Link-local ones are tentative for a second.
    here.namespace.ip('-j', 'address', 'show', 'scope', 'global'),
    ...['iptables-save', 'ip6tables-save'].map((program) =>
      here.namespace
        .exec(program)
        .replace(/^#.*$/gm, '')
        .replace(/\[\d+:\d+\]/g, ''),
    ),
    readFileSync(join(here.root, 'state/state.mdb')).toString('base64'),
  ];

  async function forget(id: string): Promise<void> {
    const store = new LocalStateStore(join(here.root, 'state/state.mdb'));
    await store.transaction((transaction) => transaction.delete(['pods', id]), { signal: AbortSignal.timeout(20_000) });
    await store.stop();
  }

  it('--dry-run changes no link, rule or byte of the state, and tells what gc then does', async () => {
    {
      await using hyperplug = await here.open();
      await (await hyperplug.createPod({ id: 'p', keep: true, portmappings: ports(18_300) })).release();
      await (await hyperplug.createPod({ id: 'q', keep: true })).release();
    }
    await forget('p');
    await using hyperplug = await here.open();
    const before = world();
    const dry = await hyperplug.gc({ dryRun: true });
    const after = world();
    for (const [index, part] of before.entries()) expect(after[index], `part ${index}`).to.equal(part);
    expect(told(dry)).to.include.members(['kept pod q', 'removed vm p', 'removed port p', 'removed address p']);
    const done = await hyperplug.gc();
    // A tap is gone with its VM, and is told all the same.
    expect(told(done)).to.deep.equal(told(dry));
    expect(await inconsistencies(here, hyperplug)).to.deep.equal([]);
    await using q = await hyperplug.openPod('q');
    await q.exec(['true']);
  });

  it('leaves another state directory on the same machine alone, with pods and NICs of the same ids', async () => {
    const there = new KillMatrix(here);
    try {
      await using theirs = await there.open();
      await (await theirs.createPod({ id: 'p', keep: true, portmappings: ports(18_301) })).release();
      await using ours = await here.open();
      await (await ours.createPod({ id: 'p', keep: true, portmappings: ports(18_302) })).release();
      const rules = () =>
        here.namespace
          .exec('iptables-save')
          .split('\n')
          .filter((rule) => rule.includes('18301'));
      const before = rules();
      expect(before).to.not.be.empty;
      await forget('p');
      expect(told(await ours.gc())).to.include.members(['removed vm p', 'removed port p']);
      await ours.networks.repair();
      await ours.networks.teardown();
      expect(rules()).to.deep.equal(before);
      expect(told(await theirs.gc())).to.deep.equal(['kept pod p']);
      await using p = await theirs.openPod('p');
      await p.exec(['true']);
      await p.remove();
    } finally {
      expect(await there.dispose()).to.deep.equal([]);
    }
  });

  it('takes nothing from pods that are being made and removed meanwhile', async () => {
    await using first = await here.open();
    await first.networks.init();
    let working = true;
    const reports: GcReport[] = [];
    const collector = (async () => {
      while (working) {
        await using hyperplug = await here.open();
        reports.push(await hyperplug.gc());
      }
    })();
    await Promise.all(
      Array.from({ length: 3 }, async (_, worker) => {
        for (let round = 0; round < 3; round++) {
          await using hyperplug = await here.open();
          const id = `w${worker}-${round}`;
          const pod = await hyperplug.createPod({ id, keep: true, portmappings: ports(18_310 + worker) });
          await pod.nics.add({ id: 'x', network: 'back' });
          await pod.release();
          await using again = await hyperplug.openPod(id);
          await again.exec(['true']);
          await again.remove();
        }
      }),
    );
    working = false;
    await collector;
    expect(reports).to.not.be.empty;
    const done = reports.flatMap(told).filter((line) => /^(removed|finished|failed) (?!lock)/.test(line));
    expect(done).to.deep.equal([]);
    expect(await inconsistencies(here, first)).to.deep.equal([]);
  });
});
