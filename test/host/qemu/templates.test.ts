import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { DebianGuestImageProvider } from '../../../guest/image/index.js';
import type { GuestSession } from '../../../src/core/agent.js';
import type { HypervisorVm, SavedTemplate, VmSpec } from '../../../src/core/hypervisor.js';
import { silentProgress } from '../../../src/core/progress.js';
import { DebianToolProvider } from '../../../src/host/debian/tools.js';
import { defaultDirectories } from '../../../src/host/paths.js';
import { HyperstartAgent } from '../../../src/plugins/hyperstart/agent.js';
import type { QemuDriver } from '../../../src/plugins/qemu/driver.js';
import { FD } from '../../../src/plugins/qemu/machine-plan.js';
import { Managers } from '../../support/manager-process.js';
import { hasQemu, processesNaming, QemuFixture } from '../../support/qemu-fixture.js';
import { rejects } from '../../support/rejects.js';
import { requireOrSkip } from '../../support/require.js';

const CLONES = 6;
const call = (timeoutMs = 120_000) => ({ signal: AbortSignal.timeout(timeoutMs) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const digests = (directory: string) =>
  readdirSync(directory).map((name) => [
    name,
    createHash('sha256')
      .update(readFileSync(join(directory, name)))
      .digest('hex'),
  ]);

describe('QEMU: templates', function () {
  this.timeout(300_000);
  let fixture: QemuFixture;
  before(function () {
    requireOrSkip(this, hasQemu, 'qemu-system-x86_64 is not installed');
    fixture = new QemuFixture();
  });
  after(() => fixture?.dispose());
  const newDirectory = (name: string) => {
    const directory = join(fixture.root, name);
    mkdirSync(directory, { mode: 0o700 });
    return directory;
  };

  describe('of a guest with an agent', () => {
    const agent = new HyperstartAgent({ nicTimeoutMs: 30_000 });
    const channels = [...agent.capabilities.channels];
    const clones: { readonly vm: HypervisorVm; readonly session: GuestSession }[] = [];
    let directory: string;
    let before_: ReturnType<typeof digests>;
    let image: Pick<VmSpec, 'kernelPath' | 'initramfsPath' | 'kernelArgs'>;
    let saved: SavedTemplate;

    const connect = async (vm: HypervisorVm, resumed: boolean) =>
      agent.connect(
        {
          channels: await Promise.all(channels.map((name) => vm.openChannel(name, call()))),
          creditWindowBytes: null,
          resumed,
        },
        call(),
      );
    const run = async (session: GuestSession, ...argv: string[]) => {
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
      const program = await session.exec({ argv, env, workingDirectory: '/', terminal: false }, call());
      program.stdin.end();
      program.stderr.resume();
      return text(program.stdout);
    };
    const spec = (template: VmSpec['template']) =>
      fixture.spec('halt', { ...image, memoryMib: 128, channels, ...(template && { template }) });

    before(async () => {
      const { cacheDirectory } = defaultDirectories();
      const tools = new DebianToolProvider({ cacheDir: cacheDirectory });
      const provider = new DebianGuestImageProvider({ cacheDir: cacheDirectory, tools });
      const { kernelPath, initramfsPath, kernelArgs } = await provider.image({ ...call(), progress: silentProgress });
      image = { kernelPath, initramfsPath, kernelArgs };
      directory = newDirectory('agent');
      const source = await fixture.driver().launch(spec({ role: 'source', directory }), call());
      const session = await connect(source, false);
      // The worst case: a generator that has given bytes, and would give the same in each clone.
      await run(session, 'head', '-c', '64', '/dev/urandom');
      await session.close();
      saved = (await source.saveTemplate?.(call())) as SavedTemplate;
      before_ = digests(directory);
      const clone = async (driver: QemuDriver) => {
        const vm = await driver.launch(spec({ role: 'clone', directory, saved }), call());
        clones.push({ vm, session: await connect(vm, true) });
      };
      const driver = fixture.driver();
      await Promise.all(Array.from({ length: CLONES - 1 }, () => clone(driver)));
      // Another manager's finds what those have.
      await clone(fixture.driver());
    });
    after(async () => {
      for (const { vm } of clones) await vm.kill(call());
    });

    it('six clones that were reseeded read six different things from the generator, from its first byte on', async () => {
      const read = clones.map(async ({ session }) => {
        await session.reseed(randomBytes(64), call());
        return run(session, 'sh', '-c', 'head -c 16 /dev/urandom | od -An -tx1');
      });
      const seen = await Promise.all(read);
      for (const each of seen) expect(each).to.match(/^( [0-9a-f]{2}){16}\n$/);
      expect(new Set(seen).size, seen.join('')).to.equal(CLONES);
    });

    it('a clone gets host name, machine id and time of its own', async () => {
      for (const [index, { session }] of clones.slice(0, 2).entries()) {
        const machineId = String(index).repeat(32);
        await session.setClock(Date.UTC(2040, 0, 1 + index), call());
        await session.startPod(
          { hostname: `clone${index}`, dns: [], dnsSearch: [], dnsOptions: [], machineId },
          call(),
        );
        const told = await run(session, 'sh', '-c', 'hostname; cat /etc/machine-id; date -u +%F');
        expect(told).to.equal(`clone${index}\n${machineId}\n2040-01-0${1 + index}\n`);
      }
    });

    it('a NIC is added to a clone, found by its MAC in the guest, and removed', async () => {
      const { vm, session } = clones[0] as (typeof clones)[number];
      const { mac, ...nic } = fixture.nic('n0');
      await vm.attachNic({ ...nic, mac }, call());
      const addAddresses = [{ address: '10.0.2.15', prefixLength: 24 }];
      const config = { mac, expectedName: 'eth0', addAddresses, removeAddresses: [] };
      expect(await session.setupInterface(config, call())).to.deep.include({ mac, up: true });
      await session.deleteInterface({ mac, expectedName: 'eth0' }, call());
      await vm.detachNic('n0', call());
      expect((await session.readNetwork(call())).links.map((link) => link.mac)).not.to.include(mac);
    });

    it('all clones have one memory for what they did not change, and none of them can write to it', function () {
      requireOrSkip(this, process.getuid?.() === 0, 'QEMU has a user of its own only when root starts it');
      const paths = clones.map(({ vm }) => `/proc/${vm.record().process.pid}/fd/${FD.memory}`);
      expect(new Set(paths.map((path) => statSync(path).ino)).size).to.equal(1);
      for (const path of paths) {
        // By root, whom no permission stops: the seals do.
        const fd = openSync(path, 'r+');
        expect(() => writeSync(fd, 'x', 0)).to.throw('EPERM');
        closeSync(fd);
      }
    });

    it('the template is as it was saved', () => {
      expect(digests(directory)).to.deep.equal(before_);
    });
  });

  it('of a kernel that is not there has no key', async () => {
    const spec = fixture.spec('halt', { kernelPath: join(fixture.root, 'none') });
    await rejects(fixture.driver().templateKey(spec, call()), 'IMAGE_NOT_FOUND', 'kernelPath');
  });

  it('without a user of its own for QEMU, clones map the file itself, and it stays as it was', async () => {
    const driver = fixture.driver({ runAs: 'none' });
    const directory = newDirectory('file');
    const source = await driver.launch(fixture.spec('cooperate', { template: { role: 'source', directory } }), call());
    const saved = (await source.saveTemplate(call())) as SavedTemplate;
    const before = digests(directory);
    const clone = await driver.launch(
      fixture.spec('cooperate', { template: { role: 'clone', directory, saved } }),
      call(),
    );
    const memory = statSync(`/proc/${clone.record().process.pid}/fd/${FD.memory}`);
    expect(memory.ino).to.equal(statSync(join(directory, 'memory')).ino);
    // The guest runs: it is asked to give the NIC back, and does.
    await clone.attachNic(fixture.nic('n0'), call());
    await clone.detachNic('n0', call());
    await clone.kill(call());
    expect(digests(directory)).to.deep.equal(before);
  });

  describe('when the manager is killed', () => {
    let managers: Managers;
    before(() => {
      managers = new Managers(fixture.root);
    });
    afterEach(() => managers.killAll());
    const nothingLeft = async (spec: VmSpec) => {
      await fixture.driver().reap(spec.runDir, call());
      const end = Date.now() + 30_000;
      while (processesNaming(spec.runDir).length > 0 && Date.now() < end) await pause(10);
      expect(fixture.leftovers(spec)).to.deep.equal([]);
    };

    it('in the midst of saving, reap() leaves neither a VM nor half a template', async () => {
      let halves = 0;
      for (const [index, delayMs] of [0, 25, 60].entries()) {
        const directory = newDirectory(`half-${index}`);
        const spec = fixture.spec('cooperate', { template: { role: 'source', directory } });
        const { manager, lines } = managers.start(spec);
        await lines.next();
        await lines.next();
        await pause(delayMs);
        await managers.kill(manager);
        // What was saved whole is no longer the VM's.
        const whole = readdirSync(spec.runDir).every((name) => name !== 'template');
        halves += whole ? 0 : 1;
        await nothingLeft(spec);
        expect(readdirSync(directory).length, `killed after ${delayMs} ms`).to.equal(whole ? 2 : 0);
      }
      expect(halves, 'no save was interrupted').to.be.above(0);
    });

    it('in the midst of cloning, reap() leaves nothing, and the template as it was', async () => {
      const directory = newDirectory('killed');
      const driver = fixture.driver();
      const source = await driver.launch(
        fixture.spec('cooperate', { template: { role: 'source', directory } }),
        call(),
      );
      const saved = (await source.saveTemplate(call())) as SavedTemplate;
      const before = digests(directory);
      for (const delayMs of [0, 60]) {
        const spec = fixture.spec('cooperate', { template: { role: 'clone', directory, saved }, detached: true });
        const { manager, lines } = managers.start(spec);
        await lines.next();
        await pause(delayMs);
        await managers.kill(manager);
        await nothingLeft(spec);
      }
      expect(digests(directory)).to.deep.equal(before);
    });
  });
});
