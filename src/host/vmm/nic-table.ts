import { HyperplugError } from '../../core/errors.js';
import type { AttachedNic } from '../../core/hypervisor.js';

interface Entry extends AttachedNic {
  state: 'attaching' | 'attached';
}

/** Which NIC sits in which slot. A slot is free again only when its device is known to be gone. */
export class NicTable {
  readonly #entries = new Map<number, Entry>();

  constructor(readonly slots: number) {}

  /** Takes the lowest free slot. @throws VM_NIC_EXISTS (id or MAC), VM_NO_SLOT. */
  reserve(id: string, mac: string): number {
    for (const entry of this.#entries.values()) {
      if (entry.id !== id && entry.mac !== mac) continue;
      const what = entry.id === id ? `id ${id}` : `MAC ${mac}`;
      throw new HyperplugError('VM_NIC_EXISTS', `NIC ${id}: one with ${what} is attached already`, {
        details: { id, mac, slot: entry.slot },
      });
    }
    for (let slot = 0; slot < this.slots; slot++) {
      if (this.#entries.has(slot)) continue;
      this.#entries.set(slot, { id, mac, slot, state: 'attaching' });
      return slot;
    }
    throw new HyperplugError(
      'VM_NO_SLOT',
      `NIC ${id}: all ${this.slots} slots of the VM are taken, or being taken; pods have one for each NIC at their start and pods.nicSlots (nicSlots of the pod) more`,
      {
        details: { id, slots: this.slots },
      },
    );
  }

  /** A NIC that is plugged already. */
  restore(slot: number, id: string, mac: string): void {
    this.#entries.set(slot, { id, mac, slot, state: 'attached' });
  }

  /** Also while it is being attached, or when that could not be undone. */
  holds(slot: number, id: string): boolean {
    return this.#entries.get(slot)?.id === id;
  }

  attached(slot: number): AttachedNic {
    const entry = this.#entries.get(slot);
    if (!entry) throw new TypeError(`slot ${slot} is not reserved`);
    entry.state = 'attached';
    return { id: entry.id, mac: entry.mac, slot };
  }

  free(slot: number): void {
    this.#entries.delete(slot);
  }

  /** @throws VM_NIC_NOT_FOUND */
  find(id: string): AttachedNic {
    for (const { state, mac, slot, id: other } of this.#entries.values()) {
      if (other === id && state === 'attached') return { id, mac, slot };
    }
    throw new HyperplugError('VM_NIC_NOT_FOUND', `NIC ${id}: none of this id is attached`, { details: { id } });
  }

  list(): readonly AttachedNic[] {
    return [...this.#entries.values()]
      .filter((entry) => entry.state === 'attached')
      .sort((a, b) => a.slot - b.slot)
      .map(({ id, mac, slot }) => ({ id, mac, slot }));
  }
}
