import { type CallOptions, withDeadline } from '../../core/calls.js';
import { HyperplugError, hasCode } from '../../core/errors.js';
import type { AttachedNic, BuiltinEndpoint, PortForward, VmNic } from '../../core/hypervisor.js';
import type { JsonValue } from '../../core/json.js';
import { UndoStack } from '../../core/undo.js';
import { explainForward } from '../../host/vmm/forwards.js';
import { NicTable } from '../../host/vmm/nic-table.js';
import { slotBus } from './argv.js';
import {
  checkEndpoint,
  checkForward,
  deviceId,
  forwardRule,
  forwardSource,
  netdevId,
  nicDevice,
  parseDeviceId,
  type TapEndpoint,
  tapFdName,
  tapNetdev,
  userNetdev,
} from './devices.js';
import { forwardsNamed, tellsOfForward } from './forward-words.js';
import type { QmpClient } from './qmp/client.js';
import type { QmpObject } from './qmp/codec.js';
import type { QmpEvent } from './qmp/events.js';
import { isObject } from './qmp/messages.js';

export interface NicPlugOptions {
  readonly machine: 'q35' | 'pc';
  readonly slots: number;
  /** Its QEMU began with NIC_DEFAULTS. */
  readonly nicDefaults: boolean;
  readonly commandTimeoutMs: number;
  readonly detachTimeoutMs: number;
}

type DeviceEvent = Extract<QmpEvent, { name: 'DEVICE_DELETED' | 'DEVICE_UNPLUG_GUEST_ERROR' }>;

/** The NICs of one running QEMU, plugged and unplugged over QMP. */
export class NicPlug {
  readonly table: NicTable;
  /** Device ids whose DEVICE_DELETED somebody waits for. */
  readonly #removing = new Set<string>();
  /** The last operation on each NIC: one at a time, different NICs at once. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(
    private readonly qmp: QmpClient,
    private readonly options: NicPlugOptions,
    /** A NIC is gone, asked for or not. */
    private readonly onDetached: (nicId: string) => void,
  ) {
    this.table = new NicTable(options.slots);
    qmp.onEvent((event) => {
      if (event.name === 'DEVICE_DELETED' && event.data.device !== undefined) this.#deleted(event.data.device);
    });
  }

  /** What was plugged at boot. */
  coldplugged(nics: readonly VmNic[]): void {
    for (const [slot, nic] of nics.entries()) this.table.restore(slot, nic.id, nic.mac);
  }

  /** Reads from QEMU what is plugged, and takes away backends that a dead manager left without a device. */
  async recover(call: CallOptions): Promise<void> {
    const devices = await this.#execute('qom-list', { path: '/machine/peripheral' }, call);
    for (const entry of Array.isArray(devices) ? devices : []) {
      const name = isObject(entry) && typeof entry.name === 'string' ? entry.name : '';
      const id = parseDeviceId(name);
      if (!id) continue;
      const mac = await this.#execute('qom-get', { path: `/machine/peripheral/${name}`, property: 'mac' }, call);
      this.table.restore(id.slot, id.nicId, String(mac).toLowerCase());
    }
    const taken = new Set(this.table.list().map(({ slot }) => slot));
    for (let slot = 0; slot < this.options.slots; slot++) {
      if (!taken.has(slot)) await this.#deleteNetdev(slot, call);
    }
  }

  async attach(nic: VmNic, call: CallOptions): Promise<AttachedNic> {
    const endpoint = checkEndpoint(nic);
    const slot = this.table.reserve(nic.id, nic.mac);
    const undo = new UndoStack(this.options.detachTimeoutMs);
    undo.pushWhenClean(`slot ${slot}`, async () => this.table.free(slot));
    try {
      const handOver = endpoint.kind === 'tap-fd' ? await this.#handOver(endpoint, slot, undo, call) : undefined;
      undo.pushWhenClean(`backend in slot ${slot}`, (undoCall) => this.#deleteNetdev(slot, undoCall));
      undo.push(`device of NIC ${nic.id}`, (undoCall) => this.#removeDevice(deviceId(slot, nic.id), undoCall));
      const { machine, nicDefaults } = this.options;
      // QEMU takes them in this order: a backend whose descriptor it refused it refuses, too, and so a device.
      const answers = await Promise.allSettled([
        ...(handOver?.answers ?? []),
        endpoint.kind === 'tap-fd'
          ? this.#execute('netdev_add', tapNetdev(slot, handOver?.names ?? []), call)
          : this.#addUserNetwork(endpoint, slot, call),
        this.#execute('device_add', nicDevice(nic, slot, slotBus(machine, slot), nicDefaults), call),
      ]);
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
      return this.table.attached(slot);
    } catch (error) {
      throw await undo.fail('VM_HYPERVISOR_FAILED', `NIC ${nic.id} was not attached, nor wholly undone`, error);
    }
  }

  /** Resolves when QEMU says that the device is gone. On rejection the NIC keeps its slot. */
  detach(nicId: string, call: CallOptions, onUnplugged: () => void = () => {}): Promise<void> {
    return this.#inTurn(nicId, async () => {
      const { slot } = this.table.find(nicId);
      const device = deviceId(slot, nicId);
      await withDeadline(`detach NIC ${nicId}`, this.options.detachTimeoutMs, call.signal, async (limited) => {
        await this.#removeDevice(device, limited);
        // QEMU does nothing else while it closes the tap: what is for the guest has to be on its way.
        onUnplugged();
        await this.#deleteNetdev(slot, limited);
      });
      this.table.free(slot);
      this.onDetached(nicId);
    });
  }

  async addForward(nicId: string, forward: PortForward, call: CallOptions): Promise<void> {
    const { slot } = this.table.find(nicId);
    checkForward(forward);
    const words = await this.#humanCommand(`hostfwd_add ${netdevId(slot)} ${forwardRule(forward)}`, call);
    if (words === '') return;
    // slirp_lookup() of a NIC that has another backend.
    if (words === 'invalid device specified') {
      throw new HyperplugError(
        'NOT_SUPPORTED',
        `forward: NIC ${nicId} is on a tap: its ports are published by its network`,
      );
    }
    throw (
      (await explainForward([forward])) ??
      new HyperplugError('QMP_ERROR', `forward ${forwardRule(forward)}: ${words}`, { details: { desc: words } })
    );
  }

  /** Idempotent. */
  async removeForward(nicId: string, forward: PortForward, call: CallOptions): Promise<void> {
    const { slot } = this.table.find(nicId);
    checkForward(forward);
    const words = await this.#humanCommand(`hostfwd_remove ${netdevId(slot)} ${forwardSource(forward)}`, call);
    // hmp_hostfwd_remove() says "host forwarding rule for … removed" or "… not found".
    if (words === '' || /^host forwarding rule for \S+ (removed|not found)$/.test(words)) return;
    throw new HyperplugError('QMP_ERROR', `forward ${forwardSource(forward)}: ${words}`, { details: { desc: words } });
  }

  #inTurn(nicId: string, body: () => Promise<void>): Promise<void> {
    const before = this.#last.get(nicId) ?? Promise.resolve();
    const turn = before.then(body, body);
    const settled = turn.catch(() => {});
    this.#last.set(nicId, settled);
    void settled.then(() => {
      if (this.#last.get(nicId) === settled) this.#last.delete(nicId);
    });
    return turn;
  }

  #execute(command: string, args: QmpObject, call: CallOptions): Promise<JsonValue> {
    return this.#limited(command, call, (limited) => this.qmp.execute(command, args, limited));
  }

  #limited<T>(command: string, call: CallOptions, body: (limited: CallOptions) => Promise<T>): Promise<T> {
    return withDeadline(`QMP ${command}`, this.options.commandTimeoutMs, call.signal, body);
  }

  async #humanCommand(line: string, call: CallOptions): Promise<string> {
    const answer = await this.#execute('human-monitor-command', { 'command-line': line }, call);
    return typeof answer === 'string' ? answer.trim() : '';
  }

  async #addUserNetwork(endpoint: BuiltinEndpoint, slot: number, call: CallOptions): Promise<void> {
    const { properties, forwards } = userNetdev(endpoint, slot);
    await this.#addNetdev({ ...properties, hostfwd: forwards.map((str) => ({ str })) }, endpoint.forwards, call);
  }

  /**
   * The descriptors' names, and QEMU's answers to come. netdev_add takes them over; as long as it has not, they are QEMU's to
   * close on our word. Sent before anything else is: a descriptor that waits for room in the socket would be overtaken.
   */
  async #handOver(endpoint: TapEndpoint, slot: number, undo: UndoStack, call: CallOptions) {
    const names = endpoint.fds.map((_, queue) => tapFdName(slot, queue));
    const answers: Promise<JsonValue>[] = [];
    for (const [queue, fd] of endpoint.fds.entries()) {
      const fdname = names[queue] as string;
      undo.push(`descriptor ${fdname}`, (undoCall) => this.#closeFd(fdname, undoCall));
      let sent: Promise<void> | undefined;
      const answer = this.#limited('getfd', call, (limited) => {
        const command = this.qmp.executeWithFds('getfd', { fdname }, [fd], limited);
        sent = command.sent;
        return command.answer;
      });
      // Looked at with the others.
      answer.catch(() => {});
      answers.push(answer);
      await sent;
    }
    return { names, answers };
  }

  async #closeFd(fdname: string, call: CallOptions): Promise<void> {
    try {
      await this.#execute('closefd', { fdname }, call);
    } catch (error) {
      // monitor/misc.c: "File descriptor named '%s' not found".
      if (!hasCode(error, 'QMP_ERROR') || !/not found/i.test(String(error.details.desc))) throw error;
    }
  }

  async #addNetdev(args: QmpObject, forwards: readonly PortForward[], call: CallOptions): Promise<void> {
    try {
      await this.#execute('netdev_add', args, call);
    } catch (error) {
      const words = hasCode(error, 'QMP_ERROR') ? String(error.details.desc) : '';
      throw (tellsOfForward(words) && (await explainForward(forwardsNamed(words, forwards)))) || error;
    }
  }

  async #deleteNetdev(slot: number, call: CallOptions): Promise<void> {
    try {
      await this.#execute('netdev_del', { id: netdevId(slot) }, call);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** device_del only asks the guest. One that was just booting may not have heard it, so it is asked twice. */
  async #removeDevice(device: string, { signal }: CallOptions): Promise<void> {
    const waiting = new AbortController();
    const stop = () => waiting.abort(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    const answer = this.qmp.waitEvent(
      (event): event is DeviceEvent =>
        (event.name === 'DEVICE_DELETED' || event.name === 'DEVICE_UNPLUG_GUEST_ERROR') && event.data.device === device,
      waiting,
    );
    answer.catch(() => {});
    const again = setTimeout(() => {
      this.#execute('device_del', { id: device }, { signal }).catch(() => {});
    }, this.options.detachTimeoutMs / 2);
    this.#removing.add(device);
    try {
      try {
        await this.#execute('device_del', { id: device }, { signal });
      } catch (error) {
        if (isNotFound(error)) return;
        if (!isUnplugging(error)) throw error;
      }
      const event = await answer;
      if (event.name === 'DEVICE_DELETED') return;
      throw new HyperplugError('QMP_ERROR', `device ${device}: the guest refused to give it back`, {
        details: { device },
      });
    } finally {
      clearTimeout(again);
      signal.removeEventListener('abort', stop);
      waiting.abort();
      this.#removing.delete(device);
    }
  }

  #deleted(device: string): void {
    const id = parseDeviceId(device);
    if (!id || this.#removing.has(device) || !this.table.holds(id.slot, id.nicId)) return;
    const signal = AbortSignal.timeout(this.options.commandTimeoutMs);
    void this.#inTurn(id.nicId, async () => {
      if (!this.table.holds(id.slot, id.nicId)) return;
      await this.#deleteNetdev(id.slot, { signal });
      this.table.free(id.slot);
      this.onDetached(id.nicId);
    }).catch(() => {});
  }
}

function isNotFound(error: unknown): boolean {
  return hasCode(error, 'QMP_ERROR') && error.details.class === 'DeviceNotFound';
}

/** qdev-monitor.c: "Device %s is already in the process of unplug". */
function isUnplugging(error: unknown): boolean {
  return hasCode(error, 'QMP_ERROR') && /already in the process of unplug/i.test(String(error.details.desc));
}
