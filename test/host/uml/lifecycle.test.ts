import { chmodSync, readdirSync, readFileSync, readlinkSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { HypervisorVm, VmSpec } from '../../../src/core/hypervisor.js';
import { childrenOf } from '../../../src/host/process.js';
import { eventually } from '../../support/eventually.js';
import { processesNaming } from '../../support/qemu-fixture.js';
import { requireOrSkip } from '../../support/require.js';
import { command, hasUml, ready, UmlFixture } from '../../support/uml-fixture.js';

const call = () => ({ signal: AbortSignal.timeout(60_000) });
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Every process that lives in a PID namespace of its own below this one: its helpers bear no name that tells whose they are. */
function processesIn(namespace: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/status`, 'utf8').includes(namespace);
      } catch {
        return false;
      }
    });
}

describe('User Mode Linux: the end of its processes', function () {
  this.timeout(180_000);
  let fixture: UmlFixture;
  const vms: HypervisorVm[] = [];
  before(async function () {
    requireOrSkip(this, hasUml, 'linux.uml or slirp4netns is not installed');
    fixture = new UmlFixture();
    await fixture.prepare();
  });
  afterEach(async () => {
    for (const vm of vms.splice(0)) await vm.kill(call()).catch(() => {});
  });
  after(() => fixture?.dispose());

  const launch = async (changes: Partial<VmSpec> = {}) => {
    const spec = fixture.spec(changes);
    const vm = await fixture.driver().launch(spec, call());
    vms.push(vm);
    return { spec, vm };
  };
  /** UML itself: the child of the namespace's first process. */
  const mainOf = (vm: HypervisorVm) => childrenOf(vm.record().process.pid)[0] as number;
  /** All that runs as this VM's user, who is nobody else's. */
  const uidOf = (vm: HypervisorVm) =>
    (/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${mainOf(vm)}/status`, 'utf8'))?.[1] ?? '') as string;
  /** Files in /dev/shm without a name that a process has open: the kernel frees one with its last holder. */
  const memoryFiles = (pid: number) => {
    try {
      return readdirSync(`/proc/${pid}/fd`)
        .map((fd) => `/proc/${pid}/fd/${fd}`)
        .filter((path) => /^\/dev\/shm\/.* \(deleted\)$/.test(readlinkSync(path)))
        .map((path) => statSync(path))
        .map(({ ino, blocks }) => ({ ino, bytes: blocks * 512 }));
    } catch {
      return [];
    }
  };

  it('kill -9 of the main process, at any moment, leaves no process and no memory held', async () => {
    for (const delayMs of [0, 10, 30, 60, 100, 200, 400]) {
      const { spec, vm } = await launch();
      const uid = uidOf(vm);
      if (delayMs === 400) {
        await ready(vm);
        await vm.attachNic(
          fixture.nic('n0', {
            endpoint: {
              kind: 'builtin',
              ipv4: { subnet: '10.0.2.0/24', gateway: '10.0.2.2', dns: '10.0.2.3', guest: '10.0.2.15' },
              forwards: [],
              restricted: false,
            },
          }),
          call(),
        );
      }
      await pause(delayMs);
      expect(processesIn(`Uid:\t${uid}\t`), `${delayMs} ms`).to.not.deep.equal([]);
      process.kill(mainOf(vm), 'SIGKILL');
      expect((await vm.exited).reason).to.equal('killed');
      if (process.getuid?.() === 0) {
        await eventually(async () => expect(processesIn(`Uid:\t${uid}\t`)).to.deep.equal([]), 10_000);
      }
      expect(fixture.leftovers(spec)).to.deep.equal([]);
    }
  });

  it('kill -9 of any one of its processes ends all of them', async () => {
    for (let index = 0; ; index++) {
      const { spec, vm } = await launch();
      await ready(vm);
      const uid = uidOf(vm);
      const victim = processesIn(`Uid:\t${uid}\t`)[index];
      if (victim === undefined) {
        expect(index, 'processes of a VM').to.be.greaterThan(3);
        await vm.kill(call());
        break;
      }
      // One of the guest's that ended meanwhile: again.
      if (!killed(victim)) index -= 1;
      // UML survives the death of a process of its guest, and of an input-output helper that nobody needs.
      await Promise.race([vm.exited, pause(1_000)]);
      await vm.kill(call());
      await eventually(async () => expect(processesIn(`Uid:\t${uid}\t`)).to.deep.equal([]), 10_000);
      expect(fixture.leftovers(spec)).to.deep.equal([]);
    }
  });

  it('gives back the memory of a guest that has used it', async () => {
    const { vm } = await launch({ memoryMib: 256 });
    await ready(vm);
    const [memory] = memoryFiles(mainOf(vm));
    if (memory === undefined) expect.fail('no file of its memory');
    // Its kernel alone has touched twice as much by then.
    expect(memory.bytes).to.be.greaterThan(8 * 1024 * 1024);
    process.kill(mainOf(vm), 'SIGKILL');
    await vm.exited;
    const holders = () =>
      readdirSync('/proc').filter(
        (name) => /^\d+$/.test(name) && memoryFiles(Number(name)).some(({ ino }) => ino === memory.ino),
      );
    await eventually(async () => expect(holders()).to.deep.equal([]), 20_000);
  });

  for (const [how, changes] of [
    ['the launcher', {}],
    ['programs of util-linux', { launcherPath: '/nothing/there' }],
  ] as const) {
    it(`runs without privilege by ${how}: a user of its own, no capability but raw sockets in a network of its own`, async function () {
      requireOrSkip(this, process.getuid?.() === 0, 'this needs root');
      const { vm, spec } = await launch(changes);
      const status = readFileSync(`/proc/${mainOf(vm)}/status`, 'utf8');
      expect(uidOf(vm)).to.match(/^18791/);
      for (const set of ['CapEff', 'CapPrm', 'CapInh', 'CapBnd']) {
        expect(status).to.match(new RegExp(`${set}:\\t0000000000002000`));
      }
      expect(status).to.match(/CapAmb:\t0000000000000000/);
      expect(status).to.match(/NoNewPrivs:\t1/);
      const links = readFileSync(`/proc/${mainOf(vm)}/net/dev`, 'utf8');
      expect(links.match(/^\s*(\w+):/gm)?.map((each) => each.trim())).to.deep.equal(['lo:']);
      await vm.kill(call());
      expect(fixture.leftovers(spec)).to.deep.equal([]);
    });
  }

  it('lets a guest that mounts the host see nothing of it', async () => {
    const { vm } = await launch();
    await ready(vm);
    expect(await command(vm, 'hostfs /')).to.equal('refused');
    expect(await command(vm, 'hostfs ../../../../etc')).to.equal('refused');
  });

  const disk = (id: string, content: string, readOnly = false) => {
    const path = join(fixture.root, id);
    writeFileSync(path, content);
    truncateSync(path, 64 * 1024);
    chmodSync(path, readOnly ? 0o644 : 0o600);
    return { id, path, format: 'raw' as const, readOnly };
  };

  it('lends a disk to the user of the VM while that runs, to no other VM meanwhile, whoever ends it', async () => {
    const own = disk('own', 'host');
    const { vm, spec } = await launch({ disks: [own] });
    await ready(vm);
    expect(await command(vm, 'disk ubda')).to.equal('128 host');
    expect(await command(vm, 'write ubda')).to.equal('ok');
    expect(statSync(own.path).uid).to.equal(Number(uidOf(vm)));
    const other = await launch({ disks: [own] }).catch((error: Error) => error);
    expect(other).to.include({ code: 'VM_HYPERVISOR_FAILED' });
    expect((other as Error).message).to.match(/another VM has/);
    process.kill(mainOf(vm), 'SIGKILL');
    await vm.exited;
    expect(statSync(own.path).uid).to.equal(process.getuid?.());
    expect(readFileSync(own.path, 'utf8')).to.match(/^guest\n/);
    expect(fixture.leftovers(spec)).to.deep.equal([]);
    await launch({ disks: [own] });
  });

  it('refuses a disk in whose place UML would look at another file; one to read is not written to', async () => {
    for (const magic of ['OOOM', 'MOOO']) {
      const refused = await launch({ disks: [disk('bait', magic)] }).catch((error: Error) => error);
      expect(refused).to.include({ code: 'VM_SPEC_INVALID' });
      expect((refused as Error).message).to.match(/disks\[0\]\.path/);
    }
    const { vm } = await launch({ disks: [disk('shown', 'host', true)] });
    await ready(vm);
    expect(await command(vm, 'disk ubda')).to.equal('128 host');
    expect(await command(vm, 'write ubda')).to.equal('refused');
  });

  it('ends the console log at its limit, and runs on', async () => {
    const spec = fixture.spec();
    const vm = await fixture.driver({ consoleLogMaxMib: 1 }).launch(spec, call());
    vms.push(vm);
    await ready(vm);
    // Of the consoles and lines that it does not make nothing is said.
    expect(readFileSync(spec.consoleLogPath, 'utf8')).to.not.match(/setup_one_line|none/);
    await command(vm, 'chatter');
    const size = () => readFileSync(spec.consoleLogPath).length;
    await eventually(async () => expect(size()).to.equal(1024 * 1024), 60_000);
    expect(await command(vm, 'ping')).to.equal('ok');
    expect(size()).to.equal(1024 * 1024);
    expect(processesNaming(spec.runDir)).to.not.deep.equal([]);
  });
});

function killed(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
