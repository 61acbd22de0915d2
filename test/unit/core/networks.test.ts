import { expect } from 'chai';
import type { CallOptions } from '../../../src/core/calls.js';
import { HyperplugError } from '../../../src/core/errors.js';
import type { NetworkSpec, RunningNic } from '../../../src/core/network.js';
import { ConfiguredNetworks, type NicInUse } from '../../../src/core/networks.js';
import { FakeNetwork, type FakeNetworkOptions } from '../../../src/testing/index.js';
import { rejects } from '../../support/rejects.js';

const spec = (name: string, third: number): NetworkSpec => ({
  name,
  subnets: [`10.0.${third}.0/24`],
  mtu: null,
  isolated: false,
  dns: [],
});
const SPECS = [spec('default', 0), spec('lab', 1), spec('dmz', 2)];

/** Repairs, and is broken, on demand. */
class RepairableNetwork extends FakeNetwork {
  readonly repairs: (string | undefined)[] = [];
  readonly broken = new Set<string>();
  readonly stuck = new Set<string>();
  readonly told: (readonly RunningNic[])[] = [];

  override async configure(
    specs: readonly NetworkSpec[],
    nics: readonly RunningNic[],
    options: CallOptions,
  ): Promise<void> {
    this.told.push(nics);
    await super.configure(specs, nics, options);
  }

  async repair(network: string | undefined, _options: CallOptions): Promise<void> {
    this.repairs.push(network);
    for (const name of network === undefined ? this.broken : [network]) this.broken.delete(name);
  }
  override async status(options: CallOptions) {
    const all = await super.status(options);
    return all.map((one) =>
      this.broken.has(one.name) ? { ...one, present: true, drift: ['a rule is missing'] } : one,
    );
  }
  override async teardown(name: string, options: CallOptions): Promise<void> {
    if (this.stuck.has(name)) throw new HyperplugError('FIREWALL_FAILED', `${name} is stuck`);
    await super.teardown(name, options);
  }
}

function setup(
  nics: readonly Partial<NicInUse>[] = [],
  options: FakeNetworkOptions = {},
  refused: ReadonlyMap<string, HyperplugError> = new Map(),
) {
  const backend = new RepairableNetwork(options);
  const inits: string[][] = [];
  const forgotten = { times: 0 };
  const networks = new ConfiguredNetworks({
    specs: SPECS,
    refused,
    backend: async () => backend,
    init: async (only) => {
      inits.push([...only]);
      await backend.init(SPECS, { signal: AbortSignal.timeout(10_000), only });
    },
    nics: async () => nics.map((nic) => ({ podId: 'web', network: 'lab', ...nic })),
    forget: () => {
      forgotten.times += 1;
    },
  });
  const bridges = () => [...backend.machine.bridges.values()];
  const states = async () => (await networks.status()).map(({ name, state }) => `${name} ${state}`);
  return { backend, networks, inits, forgotten, bridges, states };
}

describe('configured networks', () => {
  it('are looked at without being made', async () => {
    const { states, bridges, inits } = setup();
    expect(await states()).to.deep.equal(['default absent', 'lab absent', 'dmz absent']);
    expect([bridges(), inits]).to.deep.equal([[], []]);
  });
  it('tell which pods have NICs in them, each once', async () => {
    const { networks } = setup([{ podId: 'b' }, { podId: 'a' }, { podId: 'b' }, { podId: 'c', network: 'dmz' }]);
    expect((await networks.status(['lab', 'dmz'])).map(({ pods }) => pods)).to.deep.equal([['a', 'b'], ['c']]);
  });
  it('the backend is told of the NICs that run in them', async () => {
    const attached = { ports: [], lease: {}, record: {} } as unknown as RunningNic;
    const { networks, backend } = setup([{ attached }, { podId: 'exited' }]);
    await networks.status();
    await networks.teardown([], { force: true });
    expect(backend.told).to.deep.equal([[attached], [attached]]);
  });
  it('of which one is not configured: nothing is done to the others', async () => {
    const { networks, bridges } = setup();
    for (const call of ['init', 'status', 'repair', 'teardown'] as const) {
      const error = await rejects(networks[call](['lab', 'nope']), 'NET_NOT_FOUND');
      expect(error.message).to.include('default, lab, dmz').and.to.include('nope');
    }
    expect(bridges()).to.deep.equal([]);
  });

  it('init makes all, or those named', async () => {
    const { networks, inits, bridges, forgotten } = setup();
    expect((await networks.init(['lab'])).map(({ name, state }) => [name, state])).to.deep.equal([['lab', 'ready']]);
    expect(bridges()).to.deep.equal(['lab']);
    await networks.init(['default']);
    await networks.init();
    expect(inits).to.deep.equal([['lab'], ['default'], ['default', 'lab', 'dmz']]);
    expect(forgotten.times).to.equal(3);
  });

  it('one that is refused is not made, and says why; the others are, and all are looked at and torn down', async () => {
    const refused = new Map([['lab', new HyperplugError('CONFIG_INVALID', 'networks.lab.subnets: expected another')]]);
    const { networks, inits, bridges, states } = setup([], {}, refused);
    for (const call of ['init', 'repair'] as const) {
      for (const names of [[], ['dmz', 'lab']]) {
        const error = await rejects(networks[call](names), 'CONFIG_INVALID');
        expect(error.message).to.include('networks.lab.subnets');
      }
    }
    expect(inits).to.deep.equal([
      ['default', 'dmz'],
      ['default', 'dmz'],
    ]);
    expect(await states()).to.deep.equal(['default ready', 'lab absent', 'dmz ready']);
    expect((await networks.status(['lab']))[0]?.drift[0]).to.include('networks.lab.subnets');
    expect(await networks.teardown()).to.deep.equal(['default', 'lab', 'dmz']);
    expect(bridges()).to.deep.equal([]);
  });

  it('one that is refused and there already stays as it is', async () => {
    const refused = new Map<string, HyperplugError>();
    const { networks, states, inits } = setup([], {}, refused);
    await networks.init();
    refused.set('lab', new HyperplugError('CONFIG_INVALID', 'networks.lab.subnets: expected another'));
    expect(await states()).to.deep.equal(['default ready', 'lab drifted', 'dmz ready']);
    await rejects(networks.init(), 'CONFIG_INVALID');
    expect(inits.at(-1)).to.deep.equal(['default', 'dmz']);
    expect(await states()).to.deep.equal(['default ready', 'lab drifted', 'dmz ready']);
    await networks.teardown(['lab']);
    expect(await states()).to.deep.equal(['default ready', 'lab absent', 'dmz ready']);
  });

  it('repair mends those named, and tells what differed', async () => {
    const { networks, backend, states } = setup();
    await networks.init();
    backend.broken.add('lab').add('dmz');
    expect(await states()).to.deep.equal(['default ready', 'lab drifted', 'dmz drifted']);
    expect(await networks.repair(['default', 'lab'])).to.deep.equal([
      { name: 'default', mended: [] },
      { name: 'lab', mended: ['a rule is missing'] },
    ]);
    expect(backend.repairs).to.deep.equal(['default', 'lab']);
    expect(await states()).to.deep.equal(['default ready', 'lab ready', 'dmz drifted']);
  });
  it('repair that did not help says so', async () => {
    const { networks, backend } = setup();
    await networks.init();
    backend.broken.add('lab');
    backend.repair = async () => {};
    const error = await rejects(networks.repair(), 'NET_INIT_FAILED');
    expect(error.message).to.include('lab').and.to.include('a rule is missing');
  });
  it('repair makes what is absent', async () => {
    const { networks, states } = setup();
    await networks.repair(['dmz']);
    expect(await states()).to.deep.equal(['default absent', 'lab absent', 'dmz ready']);
  });

  it('teardown refuses all where one is in use, unless it is forced', async () => {
    const { networks, bridges, forgotten } = setup([{ podId: 'web', network: 'lab' }]);
    await networks.init();
    const error = await rejects(networks.teardown(), 'NET_IN_USE');
    expect(error.message).to.include('lab').and.to.include('web');
    expect(bridges()).to.deep.equal(['default', 'lab', 'dmz']);
    expect(await networks.teardown(['default', 'dmz'])).to.deep.equal(['default', 'dmz']);
    expect(bridges()).to.deep.equal(['lab']);
    expect(await networks.teardown([], { force: true })).to.deep.equal(['default', 'lab', 'dmz']);
    expect(bridges()).to.deep.equal([]);
    expect(forgotten.times).to.equal(3);
  });
  it('teardown goes on past a failure and reports each', async () => {
    const { networks, backend, bridges } = setup();
    await networks.init();
    backend.stuck.add('default').add('lab');
    const error = await rejects(networks.teardown(), 'POD_CLEANUP_FAILED');
    expect(error.errors.map((one) => (one as Error).message)).to.deep.equal(['default is stuck', 'lab is stuck']);
    expect(bridges()).to.deep.equal(['default', 'lab']);
  });

  it("of a hypervisor's own kind are ready without anything being made", async () => {
    const { backend, networks, states, bridges } = setup([], { capabilities: { hypervisorNetwork: true } });
    Object.defineProperty(backend, 'configure', { value: undefined });
    expect(await states()).to.deep.equal(['default ready', 'lab ready', 'dmz ready']);
    expect(await networks.teardown()).to.deep.equal(['default', 'lab', 'dmz']);
    expect(bridges()).to.deep.equal([]);
  });
  it('of a backend that cannot tell without making them: NOT_SUPPORTED, with its name', async () => {
    const { backend, networks } = setup([], { name: 'simple' });
    Object.defineProperty(backend, 'configure', { value: undefined });
    expect((await rejects(networks.status(), 'NOT_SUPPORTED')).message).to.include('simple');
  });

  it('end with the caller', async () => {
    const { networks } = setup();
    const signal = AbortSignal.abort(new HyperplugError('ABORTED', 'enough'));
    await rejects(networks.status([], { signal }), 'ABORTED');
  });
});
