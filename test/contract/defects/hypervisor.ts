import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CallOptions } from '../../../src/core/calls.js';
import type {
  AttachedNic,
  HypervisorVm,
  SavedTemplate,
  VmEvent,
  VmExit,
  VmNic,
  VmRecord,
  VmSpec,
} from '../../../src/core/hypervisor.js';
import { FakeHypervisor, FakeHypervisorVm, type FakeVmProcess } from '../../../src/testing/index.js';
import type { Defect } from '../../support/seeded-defects.js';
import type { FakeHypervisorSuite } from '../fake-hypervisor.js';

type Parts = Pick<FakeHypervisorSuite, 'driver' | 'capabilities'>;
type VmClass = new (driver: FakeHypervisor, process: FakeVmProcess) => FakeHypervisorVm;

/** A driver whose VMs are of this class. */
function withVm(Vm: VmClass): Parts {
  return {
    driver: class extends FakeHypervisor {
      protected override handle(vm: FakeVmProcess): HypervisorVm {
        return new Vm(this, vm);
      }
    },
  };
}

const FAILED_ATTACH = 'attachNic() that fails on its way leaves nothing: retries work, and no slot is lost';
const FAILED_DETACH = 'detachNic() that fails leaves the NIC attached and its slot taken; detaching it later works';
const KEPT_NIC =
  'detachNic() of a NIC that the guest keeps rejects with TIMEOUT; the NIC stays attached and its slot taken';
const DETACHED = 'detachNic() frees the NIC: its event has come, and nics() no longer lists it';
const GONE = 'detachNic() resolves only when the device is gone from the guest';
const KILLED = 'kill() ends the VM: its answer, exited and one event say the same';
const FROM_OUTSIDE = 'a VM that is killed from outside says so, once, with reason killed';
const RECYCLED_ADOPT =
  "adopt() of a record whose pid is another process's now rejects with VM_ADOPT_FAILED, and that one lives";
const RECYCLED_DESTROY = "destroy() of a record whose pid is another process's now leaves that one alone";
const FULL = 'attachNic() beyond the last slot rejects with VM_NO_SLOT and leaves the others';
const SAVED = 'saveTemplate() ends the VM and leaves its files in the template, and nothing else';
const SAVE_ABORTED = 'saveTemplate() aborted on its way leaves the template empty and no VM';
const SAVE_FAILED = 'saveTemplate() that fails on its way leaves the template empty and no VM';
const UNSAVED = 'a source that ends unsaved leaves its template empty: killed, destroyed or reaped';
const STALE = 'launch() of a clone of another driver, key or machine rejects with TEMPLATE_STALE and leaves nothing';
const NOT_WHOLE = 'launch() of a clone whose files are not whole rejects with TEMPLATE_STALE and leaves nothing';
const CLONES = 'several clones run at once, and end, without a change to the template';
const RELEASED = 'of a VM that was released, every call rejects with VM_NOT_RUNNING, kill() too, and it runs on';

export const HYPERVISOR_DEFECTS: readonly Defect<Parts>[] = [
  {
    what: 'tells of VMs that it launched itself alone',
    parts: {
      driver: class extends FakeHypervisor {
        readonly #own = new Set<string>();
        override launch(spec: VmSpec, options: CallOptions) {
          this.#own.add(spec.runDir);
          return super.launch(spec, options);
        }
        override async traces(options: CallOptions) {
          return (await super.traces(options)).filter(({ runDir }) => this.#own.has(runDir));
        }
      },
    },
    failing: ['traces() tells another manager of the VM and its directory as long as it runs'],
  },
  {
    what: 'leaves the backend of a NIC whose device could not be added',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async undoAttach(_nic: VmNic, slot: number) {
          this.process.reservedSlots.delete(slot);
        }
      },
    ),
    failing: [FAILED_ATTACH],
  },
  {
    what: 'loses the slot of a NIC that could not be attached',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async undoAttach(nic: VmNic, slot: number, forwards: never[] | undefined) {
          await super.undoAttach(nic, slot, forwards);
          this.process.reservedSlots.add(slot);
        }
      },
    ),
    failing: [FAILED_ATTACH],
  },
  {
    what: 'frees the slot though the unplug failed',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async detachNic(nicId: string, options: CallOptions) {
          try {
            await super.detachNic(nicId, options);
          } catch (error) {
            this.process.nics.delete(nicId);
            throw error;
          }
        }
      },
    ),
    failing: [FAILED_DETACH, KEPT_NIC],
  },
  {
    what: 'reports an unplug done on its acknowledgement',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async removeDevice(plugged: Parameters<FakeVmProcess['unplug']>[0]) {
          void super.removeDevice(plugged);
        }
      },
    ),
    failing: [DETACHED, GONE, KEPT_NIC],
  },
  {
    what: 'says that a NIC is gone, and never takes it away',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async detachNic(nicId: string) {
          this.process.emit({ type: 'nic-detached', nicId });
        }
      },
    ),
    failing: [DETACHED, GONE, 'slots are recycled: more NICs come and go than there are slots'],
  },
  {
    what: 'tells the exit twice',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override deliver(event: VmEvent) {
          super.deliver(event);
          if (event.type === 'exited') super.deliver(event);
        }
      },
    ),
    failing: [KILLED, FROM_OUTSIDE],
  },
  {
    what: 'exits without an event',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override deliver(event: VmEvent) {
          if (event.type !== 'exited') super.deliver(event);
        }
      },
    ),
    failing: [KILLED, FROM_OUTSIDE],
  },
  {
    what: 'mixes up the MACs of NICs that are attached at once',
    parts: withVm(
      class extends FakeHypervisorVm {
        #last = '';
        override async attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
          this.#last = nic.mac;
          return { ...(await super.attachNic(nic, options)), mac: this.#last };
        }
      },
    ),
    failing: ['NICs attached at once keep their ids, MACs and slots apart'],
  },
  {
    what: 'gives two NICs that are attached at once the same slot',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override takeSlot(release: () => void): number {
          const slot = super.takeSlot(release);
          this.process.reservedSlots.clear();
          return slot;
        }
      },
    ),
    failing: ['NICs attached at once keep their ids, MACs and slots apart'],
  },
  {
    what: 'never recycles a slot',
    parts: withVm(
      class extends FakeHypervisorVm {
        readonly #used = new Set<number>();
        protected override takeSlot(release: () => void): number {
          for (const slot of this.#used) this.process.reservedSlots.add(slot);
          const slot = super.takeSlot(release);
          this.#used.add(slot);
          return slot;
        }
      },
    ),
    failing: ['slots are recycled: more NICs come and go than there are slots', FAILED_ATTACH],
  },
  {
    what: 'lets its callers wait for ever when the VM dies',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override failWaiting(_exit: VmExit) {}
      },
    ),
    failing: ['every waiting call rejects with VM_EXITED at once when the VM dies'],
  },
  {
    what: 'swallows errors',
    parts: withVm(
      class extends FakeHypervisorVm {
        override attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
          return super.attachNic(nic, options).catch(() => ({ id: nic.id, mac: nic.mac, slot: 0 }));
        }
      },
    ),
    failing: [FAILED_ATTACH, FULL],
  },
  {
    what: 'declares pause and does nothing',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async setPaused() {}
      },
    ),
    failing: [
      'pause() and resume() change the state, with one event each, and are idempotent',
      'a guest that is paused stands still, and goes on when it is resumed',
    ],
  },
  {
    what: 'does what it does not declare',
    parts: {
      ...withVm(
        class extends FakeHypervisorVm {
          protected override ensureDeclared() {}
        },
      ),
      capabilities: { pause: false, hotplugNic: false, gracefulShutdown: false },
    },
    failing: [
      'pause() and resume() reject with NOT_SUPPORTED where pause is not declared',
      'attachNic() and detachNic() reject with NOT_SUPPORTED where hotplugNic is not declared',
      'shutdown() rejects with NOT_SUPPORTED where gracefulShutdown is not declared',
    ],
  },
  {
    what: 'adopts by a bare pid',
    parts: {
      driver: class extends FakeHypervisor {
        protected override findByRecord(record: VmRecord) {
          return this.machine.processes.has(record.process.pid) ? this.findByRunDir(record.runDir) : undefined;
        }
      },
    },
    failing: [RECYCLED_ADOPT],
  },
  {
    what: 'destroys by a bare pid',
    parts: {
      driver: class extends FakeHypervisor {
        override async destroy(record: VmRecord) {
          this.machine.signal(record.process.pid, 'SIGKILL');
        }
      },
    },
    failing: [RECYCLED_DESTROY],
  },
  {
    what: 'refuses to destroy what is gone',
    parts: {
      driver: class extends FakeHypervisor {
        override async destroy(record: VmRecord, options: CallOptions) {
          if (!this.findByRecord(record)) throw new Error('no such process');
          await super.destroy(record, options);
        }
      },
    },
    failing: ['destroy() ends the recorded VM and removes its files; done twice it is no error', RECYCLED_DESTROY],
  },
  {
    what: 'leaves the process of a launch that failed',
    parts: {
      driver: class extends FakeHypervisor {
        protected override undoLaunch() {}
      },
    },
    failing: [
      'launch() that fails on its way leaves nothing, and a retry works',
      'launch() aborted on its way rejects with the reason, leaves nothing, and a retry works',
    ],
  },
  {
    what: 'does not look at the signal',
    parts: {
      driver: class extends FakeHypervisor {
        override launch(spec: VmSpec) {
          return super.launch(spec, { signal: new AbortController().signal });
        }
      },
    },
    failing: ['launch() with a signal that has fired rejects with its reason and leaves nothing'],
  },
  {
    what: 'launches a second VM over the first',
    parts: {
      driver: class extends FakeHypervisor {
        protected override findByRunDir(runDir: string) {
          const there = super.findByRunDir(runDir);
          if (there) this.undoLaunch(there);
          return undefined;
        }
      },
    },
    failing: ['launch() of a VM that runs rejects with VM_ALREADY_EXISTS and leaves it untouched'],
  },
  {
    what: 'takes calls after the exit',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override ensureRunning() {}
      },
    ),
    failing: ['of a VM that has exited, every call but kill() and record() rejects with VM_NOT_RUNNING', RELEASED],
  },
  {
    what: 'fails when it is killed twice',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async kill(options: CallOptions) {
          if (this.process.exit) throw new Error('no such process');
          return super.kill(options);
        }
      },
    ),
    failing: ['kill() twice, at once and later, resolves with the same exit'],
  },
  {
    what: 'ends the VM when it should only let go of it',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async release() {
          await super.release();
          this.process.end({ reason: 'killed', exitCode: null, signal: 'SIGTERM', stderrTail: '' });
        }
      },
    ),
    failing: ['a VM that was released runs on, and another manager adopts it by its record', RELEASED],
  },
  {
    what: 'has records that JSON cannot hold',
    parts: withVm(
      class extends FakeHypervisorVm {
        override record(): VmRecord {
          return { ...super.record(), data: { slots: new Map([['n0', 1]]) } as never };
        }
      },
    ),
    failing: ['record() is JSON, tells VM and driver, and stays the same after the exit'],
  },
  {
    what: 'keeps the host port of a NIC that is gone',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async removeDevice(plugged: Parameters<FakeVmProcess['unplug']>[0]) {
          const kept = plugged.forwards.splice(0);
          await super.removeDevice(plugged);
          this.driver.machine.spawn(['forwards', this.id], () => void kept.map((forward) => forward.close()));
        }
      },
    ),
    failing: ['the host port is taken while the NIC is attached, and free when it is not'],
  },
  {
    what: 'goes on with the VM that it saved',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async saveTemplate(options: CallOptions) {
          const { template } = this.process.spec;
          if (template?.role !== 'source') return super.saveTemplate(options);
          const data = await this.writeTemplate(template.directory, options.signal);
          const key = await this.driver.templateKey(this.process.spec, options);
          this.process.saved = true;
          return { version: 1 as const, driver: this.driver.name, key, data };
        }
      },
    ),
    failing: [SAVED],
  },
  {
    what: 'leaves half a template when the save is aborted or fails',
    parts: withVm(
      class extends FakeHypervisorVm {
        protected override async writeTemplate(directory: string, signal: AbortSignal) {
          try {
            return await super.writeTemplate(directory, signal);
          } catch (error) {
            this.process.saved = true;
            throw error;
          }
        }
      },
    ),
    failing: [SAVE_ABORTED, SAVE_FAILED],
  },
  {
    what: 'leaves what a source had written when that ends',
    parts: withVm(
      class extends FakeHypervisorVm {
        constructor(driver: FakeHypervisor, process: FakeVmProcess) {
          super(driver, process);
          const { template } = process.spec;
          if (template?.role !== 'source') return;
          writeFileSync(join(template.directory, 'memory'), '');
          process.saved = true;
        }
      },
    ),
    failing: [UNSAVED],
  },
  {
    what: 'saves any VM as a template',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async saveTemplate(options: CallOptions) {
          if (this.process.spec.template) return super.saveTemplate(options);
          await this.kill(options);
          return { version: 1 as const, driver: this.driver.name, key: 'k', data: null };
        }
      },
    ),
    failing: ['saveTemplate() of a VM that was not launched as a source rejects with NOT_SUPPORTED, and it runs on'],
  },
  {
    what: 'has one key for every template',
    parts: {
      driver: class extends FakeHypervisor {
        override async templateKey() {
          return 'key';
        }
      },
    },
    failing: ['templateKey() depends on what the guest is made of, and not on whose VM it is'],
  },
  {
    what: 'has a key of its own for each VM',
    parts: {
      driver: class extends FakeHypervisor {
        override async templateKey(spec: VmSpec, options: CallOptions) {
          return (await super.templateKey(spec, options)) + spec.id;
        }
      },
    },
    failing: ['templateKey() depends on what the guest is made of, and not on whose VM it is'],
  },
  {
    what: 'clones whatever template it is given',
    parts: {
      driver: class extends FakeHypervisor {
        override launch(spec: VmSpec, options: CallOptions) {
          const { template, ...rest } = spec;
          return super.launch(template?.role === 'clone' ? rest : spec, options);
        }
      },
    },
    failing: [STALE, NOT_WHOLE],
  },
  {
    what: 'does not look whether the files of a template are whole',
    parts: {
      driver: class extends FakeHypervisor {
        protected override savedGuest() {
          return { hostname: '', dns: [], files: [] };
        }
      },
    },
    failing: [NOT_WHOLE],
  },
  {
    what: 'writes to the template when a clone is launched',
    parts: {
      driver: class extends FakeHypervisor {
        protected override savedGuest(directory: string, saved: SavedTemplate) {
          const guest = super.savedGuest(directory, saved);
          writeFileSync(join(directory, 'clones'), 'one more');
          return guest;
        }
      },
    },
    failing: [CLONES],
  },
  {
    what: 'ends all clones with the first',
    parts: withVm(
      class extends FakeHypervisorVm {
        override async kill(options: CallOptions) {
          const exit = await super.kill(options);
          if (this.process.spec.template?.role === 'clone') {
            for (const { identity, argv } of [...this.process.machine.processes.values()]) {
              if (argv[0] === 'fake-vmm') this.process.machine.signal(identity.pid, 'SIGKILL');
            }
          }
          return exit;
        }
      },
    ),
    failing: [CLONES],
  },
  {
    what: 'saves over a template that is there',
    parts: {
      driver: class extends FakeHypervisor {
        override launch(spec: VmSpec, options: CallOptions) {
          const { template } = spec;
          if (template?.role === 'source') rmSync(template.directory, { recursive: true, force: true });
          if (template?.role === 'source') mkdirSync(template.directory);
          return super.launch(spec, options);
        }
      },
    },
    failing: ['launch() as a source into a template that holds something rejects with VM_SPEC_INVALID and leaves it'],
  },
];
