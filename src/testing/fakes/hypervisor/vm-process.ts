import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { HyperplugError } from '../../../core/errors.js';
import type {
  AttachedNic,
  HypervisorCapabilities,
  NicEndpoint,
  PortForward,
  VmEvent,
  VmExit,
  VmNic,
  VmSpec,
} from '../../../core/hypervisor.js';
import type { JsonValue } from '../../../core/json.js';
import { channelPair } from '../../kit/channel-pair.js';
import { type OpenForward, openForward, sameForward } from '../forwards.js';
import type { GuestHardware, GuestOs } from '../guest/types.js';
import type { FakeMachine, FakeProcess } from '../machine.js';
import { clearFakeTemplate } from './template.js';

export interface PluggedNic {
  readonly nic: VmNic;
  readonly slot: number;
  readonly forwards: OpenForward[];
  unplugging: boolean;
}

const PID_FILE = 'vm.pid';

/** The running VM, which outlives its manager: what QEMU's process is to the real driver. */
export class FakeVmProcess {
  readonly process: FakeProcess;
  readonly nics = new Map<string, PluggedNic>();
  /** Slots of NICs that are about to be plugged. */
  readonly reservedSlots = new Set<number>();
  readonly openChannels = new Map<string, Duplex>();
  readonly listeners = new Set<(event: VmEvent) => void>();
  paused = false;
  /** As the source of a template. */
  saved = false;
  exit: VmExit | undefined;

  constructor(
    readonly machine: FakeMachine,
    readonly spec: VmSpec,
    readonly capabilities: HypervisorCapabilities,
    readonly guest: GuestOs,
  ) {
    this.process = machine.spawn(['fake-vmm', spec.id, spec.runDir], (signal) =>
      this.end({ reason: 'killed', exitCode: null, signal, stderrTail: '' }),
    );
  }

  /** @param saved the guest of a clone, as it was when its template was saved. */
  powerOn(saved?: JsonValue): void {
    writeFileSync(join(this.spec.runDir, PID_FILE), `${this.process.identity.pid}\n`);
    const hardware: GuestHardware = {
      powerOff: () => this.end({ reason: 'shutdown', exitCode: 0, signal: null, stderrTail: '' }),
      panic: () => {
        this.emit({ type: 'panicked' });
        this.end({ reason: 'panicked', exitCode: 1, signal: null, stderrTail: 'guest panicked' });
      },
      console: (text) => appendFileSync(this.spec.consoleLogPath, text),
    };
    if (saved === undefined) this.guest.boot(hardware);
    else this.guest.goOn(hardware, saved);
    for (const { nic } of this.nics.values()) this.guest.nicPlugged(nic);
  }

  emit(event: VmEvent): void {
    for (const listener of [...this.listeners]) listener(event);
  }

  end(exit: VmExit): void {
    if (this.exit) return;
    this.exit = Object.freeze(exit);
    this.machine.exit(this.process.identity);
    rmSync(join(this.spec.runDir, PID_FILE), { force: true });
    this.dropUnsaved();
    for (const channel of this.openChannels.values()) channel.destroy();
    for (const plugged of this.nics.values()) void this.closeBackend(plugged);
    this.nics.clear();
    this.guest.halted();
    this.emit({ type: 'exited', exit: this.exit });
  }

  /** What the source of a template has written is nothing until all of it is there. */
  protected dropUnsaved(): void {
    const { template } = this.spec;
    if (template?.role === 'source' && !this.saved) clearFakeTemplate(template.directory);
  }

  openChannel(name: string): Duplex {
    const held = this.openChannels.get(name);
    if (held && !held.destroyed) {
      throw new HyperplugError('POD_BUSY', `channel ${name} of VM ${this.spec.id} is open already`);
    }
    const [hostEnd, guestEnd] = channelPair();
    this.openChannels.set(name, hostEnd);
    this.guest.channelOpened(name, guestEnd);
    return hostEnd;
  }

  /** @throws VM_NO_SLOT */
  takeSlot(): number {
    const taken = new Set([...this.reservedSlots, ...[...this.nics.values()].map(({ slot }) => slot)]);
    const limit = Math.min(this.capabilities.maxNics, this.spec.nics.length + this.spec.hotplugNicSlots);
    for (let slot = 0; slot < limit; slot++) {
      if (taken.has(slot)) continue;
      this.reservedSlots.add(slot);
      return slot;
    }
    throw new HyperplugError('VM_NO_SLOT', `VM ${this.spec.id}: all ${limit} NIC slots are taken`, {
      details: { limit },
    });
  }

  /** Opens what carries the NIC's frames. @throws NET_PORT_IN_USE, VM_HYPERVISOR_FAILED. */
  async openBackend(endpoint: NicEndpoint): Promise<OpenForward[]> {
    if (endpoint.kind === 'tap-name') {
      const tap = this.machine.taps.get(endpoint.name);
      if (!tap || tap.holder) {
        const why = tap ? 'is held by another VM' : 'does not exist';
        throw new HyperplugError('VM_HYPERVISOR_FAILED', `tap ${endpoint.name} ${why}`);
      }
      tap.holder = this.spec.id;
    }
    const opened: OpenForward[] = [];
    if (endpoint.kind !== 'builtin') return opened;
    try {
      for (const forward of endpoint.forwards) opened.push(await this.openForward(forward));
      return opened;
    } catch (error) {
      await Promise.all(opened.map((forward) => forward.close()));
      throw error;
    }
  }

  openForward(forward: PortForward): Promise<OpenForward> {
    return openForward(forward, (connection) => {
      if (!this.guest.accept(forward.guestPort, connection)) connection.destroy();
    });
  }

  async closeBackend({ nic, forwards }: Pick<PluggedNic, 'nic' | 'forwards'>): Promise<void> {
    if (nic.endpoint.kind === 'tap-name') {
      const tap = this.machine.taps.get(nic.endpoint.name);
      if (tap?.holder === this.spec.id) tap.holder = undefined;
    }
    await Promise.all(forwards.splice(0).map((forward) => forward.close()));
  }

  /** The device is there: the guest sees it. */
  plug(nic: VmNic, slot: number, forwards: OpenForward[]): AttachedNic {
    this.reservedSlots.delete(slot);
    this.nics.set(nic.id, { nic, slot, forwards, unplugging: false });
    if (this.process && !this.exit) this.guest.nicPlugged(nic);
    return Object.freeze({ id: nic.id, mac: nic.mac, slot });
  }

  /** The device is gone. */
  async unplug(plugged: PluggedNic): Promise<void> {
    if (this.nics.get(plugged.nic.id) !== plugged) return;
    this.guest.nicUnplugged(plugged.nic.mac);
    await this.closeBackend(plugged);
    this.nics.delete(plugged.nic.id);
    this.emit({ type: 'nic-detached', nicId: plugged.nic.id });
  }

  findForward(nic: PluggedNic, forward: PortForward): OpenForward | undefined {
    return nic.forwards.find((open) => sameForward(open.forward, forward));
  }
}
