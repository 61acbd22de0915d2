import { readFile } from 'node:fs/promises';
import type { CallOptions } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { AttachedNic, BuiltinEndpoint, NicEndpoint, ProcessIdentity, VmNic } from '../../core/hypervisor.js';
import { UndoStack } from '../../core/undo.js';
import { NicTable } from '../../host/vmm/nic-table.js';
import type { Mconsole } from './mconsole.js';
import { type NicEntry, NicJournal } from './nic-journal.js';

/** arch/um/drivers/vector_kern.c: VECTOR_MAX units are dealt out by name, so a slot is a unit. */
const device = (slot: number) => `vec${slot}`;
/** "Device doesn't exist". */
const ENODEV = -19;

export type UmlEndpoint = Extract<NicEndpoint, { kind: 'interface' | 'builtin' }>;

/** @throws NOT_SUPPORTED. */
export function checkEndpoint({ endpoint, queues, id }: VmNic): UmlEndpoint {
  if (endpoint.kind !== 'interface' && endpoint.kind !== 'builtin') {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `nics.${id}.endpoint: expected interface or builtin, got ${endpoint.kind}`,
    );
  }
  if (queues !== 1) throw new HyperplugError('NOT_SUPPORTED', `nics.${id}.queues: expected 1, got ${queues}`);
  return endpoint;
}

export interface NicPlugOptions {
  readonly slots: number;
  readonly nicsFile: string;
  /** A process in the VM's network namespace. */
  readonly pid: number;
}

export interface UserNetwork {
  /** The transport of the vector device that leads there. */
  readonly transport: string;
  readonly process: ProcessIdentity;
}

/** What NICs of UML's own network are connected to. */
export interface UserNetworks {
  connect(slot: number, endpoint: BuiltinEndpoint, call: CallOptions): Promise<UserNetwork>;
  /** Takes over what another manager connected. */
  restore(slot: number, process: ProcessIdentity): void;
  disconnect(slot: number, call: CallOptions): Promise<void>;
}

/** The NICs of one running UML, plugged and unplugged over its management console. */
export class NicPlug {
  readonly table: NicTable;
  readonly #journal: NicJournal;
  /** The last operation on each NIC: one at a time, different NICs at once. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(
    private readonly console: Mconsole,
    private readonly networks: UserNetworks,
    private readonly options: NicPlugOptions,
    private readonly onDetached: (nicId: string) => void,
  ) {
    this.table = new NicTable(options.slots);
    this.#journal = new NicJournal(options.nicsFile);
  }

  /** Reads what is plugged; what a manager was about when it died is taken away, unless the guest uses it. */
  async recover(call: CallOptions): Promise<void> {
    for (const { slot, id, mac, state, slirp } of await this.#journal.read()) {
      if (slirp) this.networks.restore(slot, slirp);
      if (state === 'changing' && (await this.#removeUnlessUsed(slot, call))) {
        await this.networks.disconnect(slot, call);
        await this.#journal.drop(slot);
      } else {
        this.table.restore(slot, id, mac);
      }
    }
  }

  async attach(nic: VmNic, call: CallOptions): Promise<AttachedNic> {
    const endpoint = checkEndpoint(nic);
    const { id, mac, mtu } = nic;
    const slot = this.table.reserve(id, mac);
    const undo = new UndoStack();
    undo.pushWhenClean(`slot ${slot}`, async () => this.table.free(slot));
    try {
      undo.pushWhenClean(`record of NIC ${id}`, () => this.#journal.drop(slot));
      await this.#journal.set({ id, mac, slot, state: 'changing' });
      const transport = await this.#transport(endpoint, slot, undo, call);
      undo.push(`device of NIC ${id}`, (undoCall) => this.#remove(slot, undoCall));
      await this.console.command(`config ${device(slot)}:${transport},mac=${mac},mtu=${mtu},gro=1`, call);
      await this.#journal.set({ ...(this.#journal.get(slot) ?? { id, mac, slot }), state: 'attached' });
      return this.table.attached(slot);
    } catch (error) {
      throw await undo.fail('VM_HYPERVISOR_FAILED', `NIC ${id} was not attached, nor wholly undone`, error);
    }
  }

  /** Resolves when UML has let go of the device. @throws MCONSOLE_ERROR the guest has not taken the link down. */
  detach(nicId: string, call: CallOptions): Promise<void> {
    return this.#inTurn(nicId, async () => {
      const { slot, mac } = this.table.find(nicId);
      const before = this.#journal.get(slot) ?? { id: nicId, mac, slot };
      await this.#journal.set({ ...before, state: 'changing' });
      try {
        await this.#remove(slot, call);
      } catch (error) {
        await this.#journal.set({ ...before, state: 'attached' });
        throw error;
      }
      await this.networks.disconnect(slot, call);
      await this.#journal.drop(slot);
      this.table.free(slot);
      this.onDetached(nicId);
    });
  }

  async #transport(endpoint: UmlEndpoint, slot: number, undo: UndoStack, call: CallOptions): Promise<string> {
    if (endpoint.kind === 'interface') {
      await this.#mustBeThere(endpoint.name);
      return `transport=raw,ifname=${endpoint.name}`;
    }
    undo.push('user-mode network', (undoCall) => this.networks.disconnect(slot, undoCall));
    const { transport, process } = await this.networks.connect(slot, endpoint, call);
    await this.#journal.set({ ...(this.#journal.get(slot) as NicEntry), slirp: process });
    return transport;
  }

  /** UML opens it only with the guest's link, and would tell nobody but the guest. */
  async #mustBeThere(name: string): Promise<void> {
    const { pid } = this.options;
    const text = await readFile(`/proc/${pid}/net/dev`, 'utf8').catch((cause: unknown) => {
      throw new HyperplugError('VM_EXITED', `process ${pid} of the VM is gone`, { cause });
    });
    if (text.split('\n').some((line) => line.trimStart().startsWith(`${name}:`))) return;
    throw new HyperplugError('VM_HYPERVISOR_FAILED', `the VM's network namespace has no interface ${name}`, {
      details: { name, netnsPath: `/proc/${pid}/ns/net` },
    });
  }

  /** One that is gone already is no error. */
  async #remove(slot: number, call: CallOptions): Promise<void> {
    try {
      await this.console.command(`remove ${device(slot)}`, call);
    } catch (error) {
      if (!hasCode(error, 'MCONSOLE_ERROR') || error.details.errno !== ENODEV) throw error;
    }
  }

  async #removeUnlessUsed(slot: number, call: CallOptions): Promise<boolean> {
    try {
      await this.#remove(slot, call);
      return true;
    } catch (error) {
      if (!hasCode(error, 'MCONSOLE_ERROR')) throw error;
      return false;
    }
  }

  #inTurn<T>(nicId: string, body: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(nicId) ?? Promise.resolve()).then(body);
    this.#last.set(
      nicId,
      turn.catch(() => {}),
    );
    return turn;
  }
}
