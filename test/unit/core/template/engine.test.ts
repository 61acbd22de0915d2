import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Hyperplug } from '../../../../src/core/pod/types.js';
import { FakeSession } from '../../../../src/testing/fakes/agent/session.js';
import { eventually } from '../../../support/eventually.js';
import { FakeWorld } from '../../../support/fake-world.js';
import { rejects } from '../../../support/rejects.js';

const soon = (attempt: () => Promise<unknown>) => eventually(attempt, 5_000);

/** Beyond what the contract says: what goes stale, what is left by the dead, what is bounded. */
describe('templates of an engine', () => {
  const cleanUp: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const step of cleanUp.splice(0).reverse()) await step();
  });

  function world(...options: ConstructorParameters<typeof FakeWorld>): FakeWorld {
    const made = new FakeWorld(...options);
    cleanUp.push(() => made.dispose());
    return made;
  }
  async function engine(of: FakeWorld): Promise<Hyperplug> {
    const made = await of.engine();
    cleanUp.push(() => made.close());
    return made;
  }
  function configure(of: FakeWorld, change: (config: Record<string, Record<string, unknown>>) => void): void {
    const config = JSON.parse(readFileSync(of.configPath, 'utf8'));
    change(config);
    writeFileSync(of.configPath, JSON.stringify(config));
  }
  const folder = (of: FakeWorld, name = '') => join(of.root, 'cache/templates', name);

  it('a hypervisor that cannot save VMs refuses, and doctor says so', async () => {
    const hyperplug = await engine(world(undefined, { snapshot: false }));
    await rejects(hyperplug.templates.create({ name: 'small' }), 'NOT_SUPPORTED', 'snapshot', 'qemu');
    await rejects(hyperplug.createPod({ template: 'small' }), 'TEMPLATE_NOT_FOUND');
    expect(await hyperplug.templates.list()).to.deep.equal([]);
    await using pod = await hyperplug.createPod({ template: 'auto' });
    expect((await pod.status()).origin).to.deep.equal({ from: 'boot', template: null });
    const finding = (await hyperplug.diagnose()).find(({ id }) => id === 'templates');
    expect(finding).to.include({
      status: 'ok',
      summary: 'hypervisor fake cannot save VMs and go on from them: every pod boots',
    });
  });

  it('a named one that is stale is made anew before it is used; until then it is told as stale', async () => {
    const machine = world();
    const made = await (await engine(machine)).templates.create({ name: 'small' });
    configure(machine, ({ guest }) => {
      guest!.kernelArgs = ['quiet'];
    });
    const hyperplug = await engine(machine);
    const stale = await hyperplug.templates.inspect('small');
    expect(stale).to.include({ state: 'stale', createdAt: made.createdAt });
    expect(stale.why).to.include('kernel');
    const summary = async () => (await hyperplug.diagnose()).find(({ id }) => id === 'templates')?.summary;
    expect(await summary()).to.equal('can be used; stale: small');
    const pods = await Promise.all([1, 2].map(() => hyperplug.createPod({ template: 'small' })));
    cleanUp.push(async () => void (await Promise.all(pods.map((pod) => pod.remove()))));
    const now = await hyperplug.templates.inspect('small');
    expect(now.state).to.equal('fresh');
    expect(now.createdAt).to.not.equal(made.createdAt);
    expect((await pods[0]!.status()).origin).to.deep.equal({ from: 'template', template: 'small' });
    expect(await summary()).to.equal('can be used; fresh: small');
  });

  it('what makes a clone a machine of its own is said to it before anything else', async () => {
    const hyperplug = await engine(world());
    await hyperplug.templates.create({ name: 'small' });
    const { call } = FakeSession.prototype;
    const said: string[] = [];
    FakeSession.prototype.call = function (command, ...rest) {
      said.push(command);
      return call.call(this, command, ...rest);
    };
    cleanUp.push(() => {
      FakeSession.prototype.call = call;
    });
    await using pod = await hyperplug.createPod({ template: 'small' });
    expect((await pod.status()).origin?.from).to.equal('template');
    expect(said.slice(0, 3)).to.deep.equal(['reseed', 'setClock', 'startPod']);
  });

  it('one whose files are not whole is found out at the launch, and made anew', async () => {
    const machine = world();
    const hyperplug = await engine(machine);
    const made = await hyperplug.templates.create({ name: 'small' });
    writeFileSync(join(made.directory, 'memory'), 'other bytes');
    await using pod = await hyperplug.createPod({ template: 'small' });
    expect((await pod.status()).origin?.from).to.equal('template');
    expect((await hyperplug.templates.inspect('small')).createdAt).to.not.equal(made.createdAt);
    expect(readFileSync(join(made.directory, 'memory'), 'utf8')).to.not.equal('other bytes');
  });

  it('an automatic one that is not whole: the pod boots, and it is made anew in the background', async () => {
    const machine = world();
    configure(machine, ({ pods }) => {
      pods!.template = 'auto';
    });
    const hyperplug = await engine(machine);
    const start = async () => {
      await using pod = await hyperplug.createPod({});
      return (await pod.status()).origin?.from;
    };
    expect(await start()).to.equal('boot');
    await soon(async () => expect(await hyperplug.templates.list()).to.have.length(1));
    const [made] = await hyperplug.templates.list();
    writeFileSync(join(made!.directory, 'state'), '{}');
    expect(await start()).to.equal('boot');
    await soon(async () => {
      expect((await hyperplug.templates.inspect(made!.name)).createdAt).to.not.equal(made!.createdAt);
    });
    expect(await start()).to.equal('template');
  });

  it('a configured one is used by pods that fit, gives its values to those that are silent, and others boot', async () => {
    const machine = world();
    configure(machine, ({ pods }) => {
      pods!.template = 'small';
    });
    const hyperplug = await engine(machine);
    const start = async (spec: object) => {
      await using pod = await hyperplug.createPod(spec);
      const { origin, memoryMib } = await pod.status();
      return [origin?.from, memoryMib];
    };
    expect(await start({})).to.deep.equal(['boot', 256]);
    await hyperplug.templates.create({ name: 'small', memoryMib: 192 });
    expect(await start({})).to.deep.equal(['template', 192]);
    expect(await start({ resource: { memory: 256 } })).to.deep.equal(['boot', 256]);
    expect(await start({ template: 'none' })).to.deep.equal(['boot', 256]);
  });

  it('automatic ones are bounded in number and size; the one longest unused goes, and never one that was named', async () => {
    const machine = world();
    configure(machine, (config) => {
      config.templates = { automaticCount: 2, automaticTotalMib: 500 };
    });
    const hyperplug = await engine(machine);
    await hyperplug.templates.create({ name: 'mine', memoryMib: 512 });
    const ask = async (memory: number) => {
      await (await hyperplug.createPod({ template: 'auto', resource: { memory } })).remove();
    };
    const names = async () => (await hyperplug.templates.list()).map(({ name }) => name);
    const has = (...wanted: string[]) => soon(async () => expect(await names()).to.deep.equal(wanted));
    await ask(128);
    await has('auto-128m-1c-4n', 'mine');
    await ask(160);
    await has('auto-128m-1c-4n', 'auto-160m-1c-4n', 'mine');
    await ask(128);
    await ask(192);
    await has('auto-128m-1c-4n', 'auto-192m-1c-4n', 'mine');
    await ask(400);
    await has('auto-400m-1c-4n', 'mine');
    await ask(501);
    await has('auto-400m-1c-4n', 'mine');
  });

  it('a clone of the pool that dies is replaced; the bound of their memory holds', async () => {
    const machine = world();
    configure(machine, (config) => {
      config.pool = { size: 2, totalMib: 600 };
    });
    const hyperplug = await engine(machine);
    const first = await hyperplug.pool.fill();
    expect(first.ready).to.have.length(2);
    machine.killVm(first.ready[0]!.pid);
    await soon(async () => {
      const { ready } = await hyperplug.pool.status();
      expect(ready.map(({ pid }) => pid))
        .to.have.length(2)
        .and.not.include(first.ready[0]!.pid);
    });
    expect((await hyperplug.pool.fill({ size: 3 })).ready).to.have.length(2);
    expect((await hyperplug.pool.fill({ size: 1 })).ready).to.have.length(1);
  });

  it('clones of a template that was made anew are replaced; of one that is not there it says so', async () => {
    const machine = world();
    configure(machine, (config) => {
      config.pool = { size: 1, template: 'small' };
    });
    const hyperplug = await engine(machine);
    await rejects(hyperplug.pool.fill(), 'TEMPLATE_NOT_FOUND', 'small');
    expect((await hyperplug.pool.status()).failure).to.include('small');
    await hyperplug.templates.create({ name: 'small' });
    const [before] = (await hyperplug.pool.fill()).ready;
    await hyperplug.templates.create({ name: 'small' }, { replace: true });
    const [after] = (await hyperplug.pool.fill()).ready;
    expect(after!.pid).to.not.equal(before!.pid);
  });

  it('gc tells what a dead maker left, removes it, and touches nothing that is whole', async () => {
    const machine = world();
    const hyperplug = await engine(machine);
    await hyperplug.templates.create({ name: 'small' });
    mkdirSync(folder(machine, '.half.new'));
    writeFileSync(folder(machine, '.half.new/memory'), 'half');
    writeFileSync(folder(machine, '.half.making.lock'), '');
    const findings = async (dryRun: boolean) => {
      const report = await hyperplug.gc({ dryRun });
      return report.findings.filter(({ kind }) => kind === 'template').map(({ id, action }) => [id, action]);
    };
    expect(await findings(true)).to.deep.equal([['half', 'removed']]);
    expect(readdirSync(folder(machine))).to.include('.half.new');
    expect(await findings(false)).to.deep.equal([['half', 'removed']]);
    expect(readdirSync(folder(machine))).to.deep.equal(['small']);
    expect(await findings(false)).to.deep.equal([]);
  });
});
